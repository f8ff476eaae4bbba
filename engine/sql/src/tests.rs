//! Tests of the whole front end.
