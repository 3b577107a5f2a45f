//! The daemon's door: socket, health, readiness.

use crate::support::{Api, SOON, create_request};
use gantry_testkit::{Daemon, DaemonOptions, Process, Runtime, finish};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::process::Command;

/// `SERVING` of `grpc.health.v1.HealthCheckResponse`.
const SERVING: i32 = 1;

fn start() -> Daemon {
    Daemon::start(DaemonOptions::new(Runtime::BuiltIn))
}

#[test]
fn the_socket_is_roots_alone() {
    let daemon = start();
    let metadata = fs::metadata(daemon.socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!((metadata.uid(), metadata.gid()), (0, 0));
    let mode = metadata.permissions().mode() & 0o7777;
    assert_eq!(mode & !0o660, 0, "mode {mode:o}");
    let mode = fs::metadata(daemon.state_dir()).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode & 0o022, 0, "mode {mode:o} of the state dir lets others write");
}

/// `process.json` has the environment, and whoever could write a record could make the daemon believe it.
#[test]
fn records_are_roots_alone() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.run(&bundle);
    let (mut folders, mut seen) = (vec![daemon.state_dir().to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{}", path.display());
            let mode = metadata.permissions().mode() & 0o7777;
            // What the runtime writes has the runtime's mode, in a folder that keeps everybody out.
            let is_the_runtimes = path.ends_with("init/pid") || path.ends_with("init/log.json");
            assert!(is_the_runtimes || mode & 0o077 == 0, "mode {mode:o} of {}", path.display());
            seen += 1;
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(seen > 10, "{seen} records");
}

#[test]
fn the_socket_of_a_living_daemon_is_an_error() {
    let daemon = start();
    let mut second = Command::new(daemon.binaries().gantryd());
    second.arg("--listen").arg(daemon.address());
    second.arg("--state-dir").arg(daemon.scratch().path().join("second"));
    let done = finish(&mut second, SOON);
    assert_ne!(done.code(), 0, "{done}");
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(said.contains(daemon.socket().to_str().unwrap()), "{done}");
    // The first one goes on as if nothing had been.
    assert_eq!(Api::connect(&daemon).health("").unwrap(), SERVING);
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced() {
    let mut daemon = start();
    daemon.kill_hard();
    assert!(daemon.socket().exists(), "a killed daemon cannot have removed its socket");
    daemon.restart();
    assert_eq!(Api::connect(&daemon).health("").unwrap(), SERVING);
}

#[test]
fn a_file_in_the_place_of_the_socket_is_not_removed() {
    let mut daemon = start();
    daemon.terminate();
    fs::write(daemon.socket(), "precious").unwrap();
    let done = finish(&mut daemon.command(), SOON);
    assert_ne!(done.code(), 0, "{done}");
    assert_eq!(fs::read_to_string(daemon.socket()).unwrap(), "precious");
}

#[test]
fn health_is_serving() {
    let daemon = start();
    let api = Api::connect(&daemon);
    assert_eq!(api.health("").unwrap(), SERVING);
    // As containerd 0.2 answers for any name.
    assert_eq!(api.health("no.such.Service").unwrap_err().code(), tonic::Code::NotFound);
}

#[test]
fn nothing_of_the_daemon_leaks_into_a_container() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).env("GANTRY_TEST_SECRET", "1"));
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let pid = api.create(create_request(&bundle)).unwrap().processes[0].system_pid;
    let read = |pid: u32, file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    assert!(!read(pid, "environ").contains("GANTRY_TEST_SECRET"));
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert_eq!(fds, 3, "only the standard streams are open in the container");
    let status = read(pid, "status");
    let mask =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(mask("SigBlk:"), "0000000000000000");
    assert_eq!(mask("SigIgn:"), "0000000000000000");

    // What tells the daemon's own service manager that it is ready is nobody else's business.
    let init = Process::of(i32::try_from(pid).unwrap()).unwrap();
    let shim = u32::try_from(init.parent().unwrap()).unwrap();
    assert!(read(shim, "comm").starts_with("gantry-shim"));
    assert!(!read(shim, "environ").contains("NOTIFY_SOCKET"));
}
