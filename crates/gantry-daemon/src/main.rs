//! gantryd, the daemon: flags, sockets, signals, wiring.

fn main() {}
