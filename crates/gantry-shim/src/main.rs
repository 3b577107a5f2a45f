//! The shim: stands beside one process of a container and outlives the daemon.

fn main() {}
