//! The shim: that it loses nothing, holds nothing up and costs nothing, whatever happens around it. What depends on
//! neither the OCI runtime nor the daemon is tried with the built-in runtime only.

mod damage;
mod floods;
mod flow;
mod quiet;
mod stopped;
mod upgrade;

use crate::support::{Api, host_process};
use gantry_api::types::UpdateProcessRequest;
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Process, Runtime, StdioFifos};
use std::fs;
use std::io::{self, Read};
use std::process::{ChildStdin, Command, Stdio};

fn daemon() -> Daemon {
    Daemon::start(DaemonOptions::new(Runtime::BuiltIn))
}

fn fifos(bundle: &Bundle, process: &str) -> StdioFifos {
    StdioFifos::create(&bundle.path().join("io"), process)
}

/// Runs a bundle with its streams at these FIFOs; its init on the host.
fn run_with(api: &Api, bundle: &Bundle, stdio: &StdioFifos) -> Process {
    host_process(api.create_with(bundle, stdio).unwrap().processes[0].system_pid)
}

fn close_stdin(api: &Api, container: &str, process: &str) {
    let (id, pid) = (container.to_owned(), process.to_owned());
    api.update_process(UpdateProcessRequest { id, pid, close_stdin: true, width: 0, height: 0 }).unwrap();
}

fn resize(api: &Api, container: &str, width: u32) {
    let (id, pid) = (container.to_owned(), "init".to_owned());
    api.update_process(UpdateProcessRequest { id, pid, close_stdin: false, width, height: 20 }).unwrap();
}

/// A number of `/proc/PID/status`, such as `VmRSS:`.
fn status_field(process: &Process, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    value.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

/// A sum in KiB of `/proc/PID/smaps_rollup`, such as `Pss:`.
fn memory_kib(process: &Process, field: &str) -> u64 {
    let sums = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap();
    let value = sums.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Bytes that do not repeat, in `/random` of a container; how many `times` of them in a row are, and their digest.
fn random_file(bundle: &Bundle, bytes: u64, times: usize) -> (u64, String) {
    let path = bundle.rootfs().join("random");
    let mut source = fs::File::open("/dev/urandom").unwrap().take(bytes);
    io::copy(&mut source, &mut fs::File::create(&path).unwrap()).unwrap();
    digest(|to| (0..times).map(|_| io::copy(&mut fs::File::open(&path).unwrap(), to).unwrap()).sum())
}

/// How many bytes `write` says that it wrote, and the SHA-256 of what came.
fn digest(write: impl FnOnce(&mut ChildStdin) -> u64) -> (u64, String) {
    let mut command = Command::new("sha256sum");
    let mut sum = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let bytes = write(&mut sum.stdin.take().unwrap());
    let output = sum.wait_with_output().unwrap();
    assert!(output.status.success());
    (bytes, String::from_utf8(output.stdout).unwrap())
}
