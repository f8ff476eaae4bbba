//! A small connector and variables from a map, for the tests of this crate.
