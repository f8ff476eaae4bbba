//! The laws of the two boundary traits as tests that every connector calls.
//!
//! One function per law, so that a failure names the law. Nothing here is part of the shipped binary.

pub mod sink;
pub mod source;
