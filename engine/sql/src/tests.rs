//! Tests of the whole front end: what is planned, what is computed, what is refused and where.

mod constructs;
mod expressions;
mod jobs;
mod refusals;
mod tables;
mod types;
mod variables;
mod windows;
