//! How the daemon is reached: sockets that a service manager opened, TCP, floods of connections, and clients that say
//! nothing.

use crate::support::{Api, SOON, create_request};
use gantry_testkit::{Binaries, Daemon, DaemonOptions, Runtime, Scratch, finish, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `ServingStatus::Serving`.
const SERVING: i32 = 1;
/// Clients of 2017 call a daemon dead that does not answer within this time, three times.
const HEALTH_LIMIT: Duration = Duration::from_secs(3);

/// A shell that runs the daemon after these commands, which see its path and arguments as `$@`.
fn shell(scratch: &Scratch, commands: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(commands).arg("sh").arg(Binaries::locate().gantryd()).args(args);
    command.arg("--state-dir").arg(scratch.path().join("state"));
    command
}

/// Ends the daemon that a test has started by itself.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended; the rest is the scratch's.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(command: &mut Command, log: &Path) -> Ended {
    Ended(command.stderr(fs::File::create(log).unwrap()).spawn().unwrap())
}

#[test]
fn a_socket_of_the_service_manager_is_served_and_stays() {
    let scratch = Scratch::new();
    let path = scratch.path().join("activated.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut command = shell(
        &scratch,
        "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"",
        &["--listen", "fd://"],
    );
    let log = scratch.path().join("log");
    let mut daemon = spawn(command.stdin(std::os::fd::OwnedFd::from(socket)), &log);
    let api = Api::connect_to(&format!("unix://{}", path.display()));
    assert_eq!(api.health("").unwrap(), SERVING);
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon.0), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(daemon.0.wait().unwrap().code(), Some(0), "{}", fs::read_to_string(&log).unwrap());
    assert!(path.exists(), "it is the service manager's to remove");
}

#[test]
fn without_a_service_manager_there_is_no_socket_to_take() {
    let scratch = Scratch::new();
    let done = finish(&mut shell(&scratch, "exec \"$@\"", &["--listen", "fd://"]), SOON);
    done.expect_code(1);
    assert!(done.stderr.contains("incorrect number of listeners"), "{done}");
}

#[test]
fn tcp_is_served_with_a_warning() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("tcp://127.0.0.1:{port}");
    let scratch = Scratch::new();
    let log = scratch.path().join("log");
    let _daemon = spawn(&mut shell(&scratch, "exec \"$@\"", &["--listen", &address]), &log);
    wait_until("it listens", SOON, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(Api::connect_to(&address).health("").unwrap(), SERVING);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("whoever can connect is root on this host"), "{said}");
}

#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    let scratch = Scratch::new();
    let (path, log) = (scratch.path().join("s.sock"), scratch.path().join("log"));
    let address = format!("unix://{}", path.display());
    // Room for 100 clients.
    let commands = "ulimit -n 400; exec \"$@\"";
    let daemon = spawn(&mut shell(&scratch, commands, &["--listen", &address]), &log);
    wait_until("it listens", SOON, || UnixStream::connect(&path).is_ok());
    let old = Api::connect_to(&address);
    assert_eq!(old.health("").unwrap(), SERVING);
    let mut flood = Vec::new();
    for _ in 0..600 {
        flood.push(UnixStream::connect(&path).unwrap());
    }
    let asked = Instant::now();
    assert_eq!(Api::connect_to(&address).health("").unwrap(), SERVING, "a new client");
    assert_eq!(old.health("").unwrap(), SERVING, "one that was there before");
    assert!(asked.elapsed() < HEALTH_LIMIT, "{:?}", asked.elapsed());
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.0.id())).unwrap().count();
    assert!(open < 200, "{open} descriptors are open");
    // Those who had to make room see that their connection has ended.
    flood[0].set_read_timeout(Some(SOON)).unwrap();
    let mut byte = [0; 64];
    while flood[0].read(&mut byte).unwrap() > 0 {}
}

#[test]
fn a_flood_of_half_sent_requests_keeps_nobody_out() {
    let scratch = Scratch::new();
    let (path, log) = (scratch.path().join("s.sock"), scratch.path().join("log"));
    let address = format!("unix://{}", path.display());
    // Room for 100 clients.
    let _daemon = spawn(&mut shell(&scratch, "ulimit -n 400; exec \"$@\"", &["--listen", &address]), &log);
    wait_until("it listens", SOON, || UnixStream::connect(&path).is_ok());
    let old = Api::connect_to(&address);
    assert_eq!(old.health("").unwrap(), SERVING);
    // The preface, settings, and the beginning of a header frame that never comes to its end.
    let sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x40\x01\x04\0\0\0\x01half";
    let mut flood = Vec::new();
    for number in 0..400 {
        let mut stream = UnixStream::connect(&path).unwrap();
        // One that has had to make room already is told so, or told nothing.
        let _ = stream.write_all(&sent[..24 + number % (sent.len() - 24)]);
        flood.push(stream);
    }
    assert_eq!(Api::connect_to(&address).health("").unwrap(), SERVING, "a new client");
    assert_eq!(old.health("").unwrap(), SERVING, "one that was there before");
}

#[test]
fn a_client_that_says_nothing_is_shown_the_door() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let before = daemon.open_fds().len();
    let mut silent = UnixStream::connect(daemon.socket()).unwrap();
    silent.set_read_timeout(Some(SOON)).unwrap();
    // The server's own first words, and then the end.
    let mut words = Vec::new();
    silent.read_to_end(&mut words).unwrap();
    wait_until("its descriptor is closed", SOON, || daemon.open_fds().len() <= before);
}

#[test]
fn thousands_of_calls_share_a_connection() {
    const STREAMS: usize = 2000;
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| api.events()).collect();
    assert_eq!(api.health("").unwrap(), SERVING);
    let bundle = daemon.bundle().args(["true"]).build();
    api.create(create_request(&bundle)).unwrap();
    for events in &mut streams {
        assert_eq!(events.exit_of(bundle.id(), "init"), 0);
    }
}

#[test]
fn a_message_that_is_too_big_is_refused_and_the_connection_goes_on() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["true"]).build();
    let mut request = create_request(&bundle);
    request.labels = vec!["x".repeat(5 << 20)];
    assert_eq!(api.create(request).unwrap_err().code(), tonic::Code::OutOfRange);
    api.create(create_request(&bundle)).unwrap();
}

#[test]
fn tls_is_refused_where_it_is_not_built_in() {
    let scratch = Scratch::new();
    let args =
        ["--listen", "tcp://127.0.0.1:0", "--tls-cert", "/nonexistent/c", "--tls-key", "/nonexistent/k"];
    let done = finish(&mut shell(&scratch, "exec \"$@\"", &args), SOON);
    done.expect_code(1);
    // A build with it looks for the files.
    assert!(done.stderr.contains("built without TLS") || done.stderr.contains("/nonexistent/c"), "{done}");
    let done = finish(shell(&scratch, "exec \"$@\"", &["--tls-cert", "/c"]).stdin(Stdio::null()), SOON);
    done.expect_code(1);
    assert!(done.stderr.contains("tls-cert needs tls-key"), "{done}");
}
