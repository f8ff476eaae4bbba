//! What the integration tests stand on: launchers of real services ([`services`]), an independent computation of the main
//! job ([`oracle`]), that job on real services ([`main_job`], [`stage`], [`watch`]), its deaths ([`crash`]), what a test does
//! to the machine ([`host`]), the laws of the architecture ([`law`]), a simulation of the whole shard
//! ([`sim`]), and that job on a YARN of one machine ([`yarn`]).
//!
//! Nothing here is part of the shipped binary, and nothing here is engine code: the services and the oracle share no
//! line with what they judge.

pub mod crash;
pub mod host;
pub mod law;
pub mod main_job;
pub mod oracle;
pub mod services;
pub mod sim;
pub mod stage;
pub mod watch;
pub mod yarn;
