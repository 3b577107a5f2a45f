//! Drives the real binary with busybox bundles, as root, each test in a state directory of its own.
//!
//! Without root or busybox each test prints why it is skipped. Every test ends what it started; the harness deletes by
//! force what a failed one left.

// Clippy's permission for tests does not cover the helpers beside them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod cgroups;
mod escapes;
mod exec;
mod failures;
mod harness;
mod life_cycle;
mod refusals;
mod safety;
mod terminal;
