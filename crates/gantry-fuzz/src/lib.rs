//! What fuzzing does with each kind of input that comes from outside, and which promises it must not break.
//!
//! Each [`Target`] takes any bytes. It panics where a promise is broken: what is read and written again is the same, a limit
//! is kept, an error names the file, two readers of one format agree. Parsers that no other crate may use are reached by the
//! `fuzzing` module of their crate, which exists with the feature of that name alone.
//!
//! `fuzz/` runs these with libFuzzer (`scripts/fuzz.sh`); the test of this crate runs them on what is stored in
//! `fuzz/corpus` and `fuzz/regressions`, with the stable compiler.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a fuzz target says that it has found something"
)]

mod bundles;
mod logs;
mod records;
mod requests;
mod system;
mod words;

use std::path::Path;
use tempfile::TempDir;

/// One kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// What is done with an input.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident: $run:path;)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $run }),*];

        $($(#[$doc])* pub fn $name(bytes: &[u8]) { $run(bytes); })*
    };
}

targets! {
    /// `state.json` of a container, `process.json`, `usage`, and a checkpoint's `config.json`.
    records: records::records;
    /// The short files of a process's folder: `pid`, `starttime`, `exitStatus`.
    process_files: records::process_files;
    /// `events.log`.
    event_log: records::event_log;
    /// `ended.log`.
    ended_log: records::ended_log;
    /// The messages on the `control` FIFO.
    control: records::control;
    /// The packets between the daemon and its resident parent, and what a shim says to its daemon.
    resident: records::resident;
    /// The runtime's own `state.json`.
    runtime_record: records::runtime_record;
    /// `shim-log.json`, a runtime's `log.json`, and what a runtime prints.
    runtime_log: logs::runtime_log;
    /// A container's log as `gantry logs` reads it, and where it is to be.
    container_log: logs::container_log;
    /// What a process writes to a stream that the shim logs.
    output: logs::output;
    /// A bundle's `config.json` as the daemon reads it.
    bundle: bundles::daemon;
    /// A bundle's `config.json` as the built-in runtime reads it, and the process of an exec.
    runtime_bundle: bundles::runtime;
    /// Requests of gRPC clients.
    requests: requests::requests;
    /// The bytes of a client's HTTP/2 connection.
    connection: requests::connection;
    /// The bytes of a connection for metrics.
    http: requests::http;
    /// The daemon's configuration file.
    config: words::config;
    /// Ids, numbers, sizes, signals, times, spans: single words.
    words: words::words;
    /// Command lines of ctr and of the daemon.
    command_lines: words::command_lines;
    /// Files of `/proc` and of cgroups.
    system: system::system;
}

/// A folder for this thread's files.
fn in_folder<T>(work: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: TempDir = tempfile::Builder::new().prefix("gantry-fuzz-").tempdir().expect("a folder for files");
    }
    FOLDER.with(|folder| work(folder.path()))
}

/// Two texts from one input: what stands before the first NUL, and behind it.
fn two_texts(bytes: &[u8]) -> (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>) {
    let middle = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (first, second) = bytes.split_at(middle);
    (String::from_utf8_lossy(first), String::from_utf8_lossy(second.strip_prefix(&[0]).unwrap_or(second)))
}
