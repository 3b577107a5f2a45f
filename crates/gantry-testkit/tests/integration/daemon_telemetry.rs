//! What the daemon tells about itself over HTTP and to Graphite.

use crate::support::{Api, SOON, create_request, exec_request};
use gantry_testkit::{Daemon, DaemonOptions, Runtime, Scratch, wait_for, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// An answer's head and body.
fn exchange(mut stream: impl Read + Write, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn get(socket: &Path, path: &str) -> (String, String) {
    exchange(UnixStream::connect(socket).unwrap(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

/// The figure with this name and these labels.
fn figure(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
}

/// A daemon with a metrics socket and a debug socket.
fn start(scratch: &std::sync::Arc<Scratch>) -> Daemon {
    let unix = |name: &str| format!("unix://{}", scratch.path().join(name).display());
    let options = DaemonOptions::new(Runtime::BuiltIn).arg("--metrics-address").arg(unix("metrics.sock"));
    Daemon::start_in(scratch, options.arg("--pprof-address").arg(unix("debug.sock")))
}

#[test]
fn figures_follow_what_happens() {
    let scratch = Scratch::new();
    let daemon = start(&scratch);
    let socket = scratch.path().join("metrics.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o7777, 0o660);
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let metrics = || get(&socket, "/metrics").1;
    assert_eq!(figure(&metrics(), "gantry_containers{status=\"running\"}"), 0.0);

    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&bundle)).unwrap();
    api.add_process(exec_request(bundle.id(), "one", &["sleep", "1000"])).unwrap();
    api.add_process(exec_request(bundle.id(), "two", &["/nonexistent"])).unwrap_err();
    let text = metrics();
    for (name, value) in [
        ("gantry_containers{status=\"running\"}", 1.0),
        ("gantry_processes", 2.0),
        ("gantry_starts_total", 1.0),
        ("gantry_start_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("gantry_exec_seconds_count", 1.0),
        ("gantry_exec_failures_total", 1.0),
        ("gantry_event_subscribers", 1.0),
        ("gantry_shims_measured", 2.0),
        ("gantry_queue_length{queue=\"commands\"}", 0.0),
    ] {
        assert_eq!(figure(&text, name), value, "{name}");
    }
    assert!(figure(&text, "gantry_shim_memory_bytes") > 1000.0);
    assert!(figure(&text, "gantry_daemon_memory_bytes") > 1_000_000.0);
    assert!(figure(&text, "gantry_event_log_bytes") > 0.0);
    // Every name is explained, and no line is anything else.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split([' ', '{']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.trim_end_matches(end));
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    }

    api.signal(bundle.id(), "init", 9).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    wait_until("the stop is counted", SOON, || figure(&metrics(), "gantry_stop_seconds_count") == 1.0);
    let text = metrics();
    assert_eq!(figure(&text, "gantry_exits_total"), 2.0);
    assert_eq!(figure(&text, "gantry_exit_seconds_count"), 1.0);
}

#[test]
fn the_debug_address_takes_the_place_of_pprof() {
    let scratch = Scratch::new();
    let mut daemon = start(&scratch);
    let socket = scratch.path().join("debug.sock");
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    api.create(create_request(&bundle)).unwrap();

    let (head, _) = get(&socket, "/");
    assert!(head.starts_with("HTTP/1.1 301 ") && head.contains("Location: /debug/"), "{head}");
    let (_, tasks) = get(&socket, "/debug/tasks");
    assert!(tasks.contains(&format!("container {}: running", bundle.id())), "{tasks}");
    let (head, vars) = get(&socket, "/debug/vars");
    assert!(head.contains("Content-Type: application/json"), "{head}");
    let vars: serde_json::Value = serde_json::from_str(&vars).unwrap();
    assert_eq!(vars["pid"], daemon.pid());
    assert_eq!(vars["gantry_containers{status=\"running\"}"], 1);
    assert!(get(&socket, "/metrics").0.starts_with("HTTP/1.1 200 "));
    assert!(get(&socket, "/debug/pprof/goroutine?debug=1").0.starts_with("HTTP/1.1 404 "));

    // What is for everybody with a Prometheus has figures only.
    assert!(get(&scratch.path().join("metrics.sock"), "/debug/tasks").0.starts_with("HTTP/1.1 404 "));
    let head = |request| exchange(UnixStream::connect(&socket).unwrap(), request).0;
    assert!(head("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(head("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let (head, body) = exchange(UnixStream::connect(&socket).unwrap(), "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());

    daemon.terminate();
    assert!(!socket.exists());
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let scratch = Scratch::new();
    let _daemon = start(&scratch);
    let socket = scratch.path().join("metrics.sock");
    let silent: Vec<_> = (0..15).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert!(get(&socket, "/metrics").0.starts_with("HTTP/1.1 200 "));
    drop(silent);
}

#[test]
fn whoever_listens_to_the_world_is_warned() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let daemon = Daemon::start(
        DaemonOptions::new(Runtime::BuiltIn).arg("--metrics-address").arg(format!("127.0.0.1:{port}")),
    );
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (_, body) = exchange(stream, "GET /metrics HTTP/1.0\r\n\r\n");
    assert_eq!(figure(&body, "gantry_restored"), 1.0);
    assert!(!daemon.log().contains("in clear text"), "{}", daemon.log());
    drop(daemon);
    let daemon =
        Daemon::start(DaemonOptions::new(Runtime::BuiltIn).arg("--metrics-address").arg("0.0.0.0:0"));
    assert!(daemon.log().contains("metrics are served in clear text to everybody"), "{}", daemon.log());
}

#[test]
fn graphite_gets_plain_text() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap().to_string();
    let _daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).arg("--graphite-address").arg(address));
    let mut stream = wait_for("the daemon to call", SOON, || server.accept().ok()).0;
    stream.set_nonblocking(false).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find(|line| line.starts_with("metrics.gantry_containers.running "));
    let words: Vec<&str> = line.unwrap_or_else(|| panic!("{text}")).split(' ').collect();
    assert_eq!((words.len(), words[1]), (3, "0"), "{text}");
    assert!(words[2].parse::<u64>().unwrap() > 1_600_000_000, "{text}");
}
