//! What Gantry promises to a user, tried on the built programs from outside: by the client's command line, by gRPC, and
//! by looking at processes, mounts, cgroups and files.
//!
//! They need root and the programs of `make build`, see `gantry_testkit::Binaries`. One file per subject; a test that
//! depends on the OCI runtime runs with each of them (`each_runtime!`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step of a test ends the test, with its reason"
)]

mod support;

mod bad_input;
mod bundles;
mod cli_inspect;
mod cli_logs;
mod cli_update;
mod conformance;
mod containerd_suite;
mod ctr;
mod daemon_clients;
mod daemon_config;
mod daemon_telemetry;
mod daemon_traces;
mod damage;
mod dockerd;
mod documents;
mod engines;
mod failpoints;
mod faults;
mod hostile;
mod kills;
mod load;
mod many;
mod restart;
mod run;
mod serving;
mod shim;
mod terminal;

mod engine_adopt_029;
mod engine_checkpoint;
mod engine_consoles;
mod engine_containers;
mod engine_processes;
mod engine_random;
mod engine_resident;
mod engine_resources;
mod engine_restore;
mod engine_shim_death;
mod engine_starts;
