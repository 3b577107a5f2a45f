//! The shim as a daemon sees it: the real program, a process's folder, runc, a bundle of busybox.
//!
//! Needs root, runc and busybox-static. Each test ends by id whatever it started, also when it fails.

// The lint's exception for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adopt;
mod exec;
mod faults;
mod hardening;
mod life;
mod logging;
mod stdio;
mod support;
mod terminal;
mod usage;
