//! gantry-runtime, the built-in OCI runtime with a runc-compatible command line.

fn main() {}
