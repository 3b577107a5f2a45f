//! The shim: that it loses nothing, holds nothing up and costs nothing, whatever happens around it. What depends on
//! neither the OCI runtime nor the daemon is tried with the built-in runtime only.

mod damage;
mod floods;
mod flow;
mod quiet;
mod stopped;
mod upgrade;

use crate::support::{Api, SOON, host_process};
use gantry_api::types::UpdateProcessRequest;
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Process, Runtime, StdioFifos};
use std::fs;
use std::path::Path;
use std::process::Command;

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

/// Bytes that do not repeat, in a file of the container's root; the sum of `times` of them in a row.
fn random_file(bundle: &Bundle, bytes: u64, times: usize) -> String {
    let path = bundle.rootfs().join("random");
    let mut source = std::io::Read::take(fs::File::open("/dev/urandom").unwrap(), bytes);
    std::io::copy(&mut source, &mut fs::File::create(&path).unwrap()).unwrap();
    sha256(&vec![path.as_path(); times])
}

/// The SHA-256 of files one after another.
fn sha256(files: &[&Path]) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", "cat \"$@\" | sha256sum", "sh"]).args(files);
    let finished = gantry_testkit::finish(&mut command, 3 * SOON);
    finished.stdout.split(' ').next().unwrap().to_owned()
}
