//! How a shim tells its daemon that the process was created, without anybody polling.
//!
//! The daemon gives the shim a pipe as standard output (0.2 gave `/dev/null`, and no shim ever wrote there).
//! Gantry's shim writes [`HELLO`] before it does anything else, [`READY`] once the runtime's `create` or
//! `exec` has returned success, and then puts `/dev/null` in its place. End of file without [`READY`] means
//! that it failed; the reasons are in `shim-log.json` and `log.json`.
//!
//! A shim of 0.2 never says hello: then the daemon goes by the `pid` file's appearing (inotify), as 0.2 did by
//! polling.

/// The first line of a shim that speaks this protocol.
pub const HELLO: &str = "gantry-shim 1\n";
/// The line that says that the process exists and waits for its start.
pub const READY: &str = "ready\n";
