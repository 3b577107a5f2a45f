//! Traces of starts, as a collector of OpenTelemetry gets them: across daemon, shim and runtime.

use crate::support::{Api, KILLED, SIGKILL, SOON, create_request, each_runtime, exec_request};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

each_runtime!(a_start_is_traced_across_daemon_shim_and_runtime);

/// Takes OTLP over HTTP and answers with this status line.
struct Collector {
    endpoint: String,
    requests: mpsc::Receiver<(String, Value)>,
}

/// A span, and who it is of.
#[derive(Clone, Debug)]
struct Span {
    service: String,
    json: Value,
}

impl Collector {
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // The test has ended when nobody listens any more.
                if sender.send(serve(stream.unwrap(), answer)).is_err() {
                    return;
                }
            }
        });
        Self { endpoint, requests }
    }

    /// The spans of the next so many starts, by what they are of: container and process.
    fn spans(&self, starts: usize) -> BTreeMap<(String, String), Vec<Span>> {
        let mut spans: BTreeMap<_, Vec<Span>> = BTreeMap::new();
        while spans.len() < starts {
            let (head, body) = self.requests.recv_timeout(SOON).expect("traces");
            assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
            for resource in body["resourceSpans"].as_array().unwrap() {
                let service = attribute(&resource["resource"], "service.name");
                for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                    let key = (attribute(span, "container.id"), attribute(span, "gantry.process"));
                    spans.entry(key).or_default().push(Span { service: service.clone(), json: span.clone() });
                }
            }
        }
        spans
    }
}

fn serve(stream: TcpStream, answer: &str) -> (String, Value) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    write!(reader.into_inner(), "HTTP/1.1 {answer}\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

fn attribute(holder: &Value, key: &str) -> String {
    let attributes = holder["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key).unwrap();
    found["value"]["stringValue"].as_str().unwrap().to_owned()
}

impl Span {
    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    fn times(&self) -> (u64, u64) {
        let time = |key| self.text(key).parse::<u64>().unwrap();
        (time("startTimeUnixNano"), time("endTimeUnixNano"))
    }
}

/// Insists on one tree in which every span is within its parent's time; returns who did what.
fn one_tree(spans: &[Span]) -> Vec<(String, String)> {
    let roots: Vec<&Span> = spans.iter().filter(|span| span.text("parentSpanId").is_empty()).collect();
    assert_eq!(roots.len(), 1, "{spans:?}");
    for span in spans {
        assert_eq!((span.text("traceId"), span.text("traceId").len()), (roots[0].text("traceId"), 32));
        assert_eq!(span.text("spanId").len(), 16);
        let (began, ended) = span.times();
        assert!(began <= ended, "{span:?}");
        if !span.text("parentSpanId").is_empty() {
            let parent = spans.iter().find(|other| other.text("spanId") == span.text("parentSpanId"));
            let (from, to) = parent.expect("its parent").times();
            assert!(from <= began && ended <= to, "{span:?} is outside of {parent:?}");
        }
    }
    spans.iter().map(|span| (span.service.clone(), span.text("name").to_owned())).collect()
}

fn a_start_is_traced_across_daemon_shim_and_runtime(runtime: Runtime) {
    let collector = Collector::start("200 OK");
    let options = DaemonOptions::new(runtime).arg("--otlp-endpoint").arg(&collector.endpoint);
    let daemon = Daemon::start(options);
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let id = bundle.id().to_owned();
    api.run(&bundle);
    api.add_process(exec_request(&id, "e1", &["true"])).unwrap();
    assert_eq!(events.exit_of(&id, "e1"), 0);
    let broken = daemon.bundle().args(["no-such-command"]).build();
    let error = api.create(create_request(&broken)).unwrap_err();

    let spans = collector.spans(3);
    let of = |container: &str, process: &str| &spans[&(container.to_owned(), process.to_owned())];
    let has = |did: &[(String, String)], service: &str, name: &str| {
        assert!(did.contains(&(service.to_owned(), name.to_owned())), "no {service}: {name} in {did:?}");
    };
    let init = one_tree(of(&id, "init"));
    has(&init, "gantryd", "start container");
    has(&init, "gantryd", "spawn the shim");
    has(&init, "gantry-shim", "shim until ready");
    has(&init, runtime.name(), "runtime create");
    has(&init, runtime.name(), "runtime start");
    let exec = one_tree(of(&id, "e1"));
    has(&exec, "gantryd", "start process");
    has(&exec, runtime.name(), "runtime exec");
    assert!(exec.iter().all(|(_, name)| name != "runtime start"), "{exec:?}");
    // One that fails says why.
    let failed = of(broken.id(), "init");
    has(&one_tree(failed), "gantryd", "fail and undo");
    let root = failed.iter().find(|span| span.text("parentSpanId").is_empty()).unwrap();
    assert_eq!(
        (root.json["status"]["code"].as_u64(), &root.json["status"]["message"]),
        (Some(2), &error.message().into())
    );

    api.signal(&id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(&id, "init"), KILLED);
    leaks.assert_clean();
}

/// The record that tells the shim whether it is to say when its steps happened.
fn process_record(daemon: &Daemon, bundle: &Bundle) -> Value {
    let path = daemon.state_dir().join(bundle.id()).join("init/process.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn without_an_endpoint_nothing_is_noted() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    Api::connect(&daemon).run(&bundle);
    assert_eq!(process_record(&daemon, &bundle).get("gantryTrace"), None);
}

#[test]
fn a_collector_that_refuses_or_is_not_there_is_told_of_once_and_holds_up_nothing() {
    let refusing = Collector::start("503 Service Unavailable");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, reason) in [
        (refusing.endpoint.clone(), "503 Service Unavailable"),
        (format!("http://{gone}"), "Connection refused"),
    ] {
        let options = DaemonOptions::new(Runtime::BuiltIn).arg("--otlp-endpoint").arg(&endpoint);
        let daemon = Daemon::start(options);
        let api = Api::connect(&daemon);
        let mut events = api.events();
        let start = || {
            let bundle = daemon.bundle().args(["true"]).build();
            api.create(create_request(&bundle)).unwrap();
            bundle
        };
        let bundle = start();
        assert_eq!(events.exit_of(bundle.id(), "init"), 0);
        wait_until("a word of it in the log", SOON, || daemon.log().contains(reason));
        let bundle = start();
        assert_eq!(events.exit_of(bundle.id(), "init"), 0);
        assert_eq!(daemon.log().matches("traces cannot be sent").count(), 1);
    }
}

#[test]
fn an_endpoint_that_is_none_is_a_mistake_that_is_told() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let mut second = daemon.command();
    let done = gantry_testkit::finish(second.args(["--otlp-endpoint", "https://collector:4318"]), SOON);
    assert_eq!(done.code(), 2, "{done}");
    assert!(done.stderr.contains("expected http://HOST:PORT"), "{done}");
}
