//! Simulated services behind the connectors' own seams: what a sink's logic talks to instead of a real client.
//!
//! They keep what the real services promise, and break what those do not promise, by the dice of the `World`.
