//! gantry, the client.

fn main() {}
