//! HTTP/2 by hand (RFC 9113): what no library would send.

use super::assert_small;
use crate::support::{Api, SOON, create_request};
use gantry_testkit::{Daemon, DaemonOptions, Runtime};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(content);
    frame
}

/// A literal field without indexing (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    let mut field = vec![0, length(name)];
    field.extend(name.as_bytes());
    field.push(length(value));
    field.extend(value.as_bytes());
    field
}

fn call_headers(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

fn connect(daemon: &Daemon) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
    stream
}

/// Whether the other side has closed, or does so soon.
fn is_shown_the_door(stream: &mut UnixStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

fn start() -> Daemon {
    Daemon::start(DaemonOptions::new(Runtime::BuiltIn))
}

/// Starts a container and sees it end.
fn serves(api: &Api, daemon: &Daemon) {
    let bundle = daemon.bundle().shell("exit 3").build();
    let mut events = api.events();
    api.create(create_request(&bundle)).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 3);
}

#[test]
fn streams_that_are_opened_and_reset_at_once() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let mut stream = connect(&daemon);
    let headers = call_headers("/types.API/Events");
    let mut refused = false;
    for number in 0..20_000_u32 {
        let id = 2 * number + 1;
        let both =
            [frame(HEADERS, END_HEADERS, id, &headers), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())];
        refused = stream.write_all(&both.concat()).is_err();
        if refused {
            break;
        }
    }
    assert!(refused || is_shown_the_door(&mut stream), "such a client is to go (CVE-2023-44487)");
    serves(&api, &daemon);
    assert_small(&daemon);
}

#[test]
fn header_blocks_without_an_end() {
    let daemon = start();
    let api = Api::connect(&daemon);
    // As the first request of a connection, which is looked at byte by byte, and after an ordinary one.
    for ordinary_first in [false, true] {
        let mut stream = connect(&daemon);
        if ordinary_first {
            let headers = call_headers("/grpc.health.v1.Health/Check");
            stream.write_all(&frame(HEADERS, END_HEADERS, 1, &headers)).unwrap();
            stream.write_all(&frame(DATA, 1, 1, &[0; 5])).unwrap();
        }
        let filling = field("x-filling", &"x".repeat(100)).repeat(100);
        let mut refused = stream.write_all(&frame(HEADERS, 0, 3, &filling)).is_err();
        for _ in 0..2000 {
            refused = refused || stream.write_all(&frame(CONTINUATION, 0, 3, &filling)).is_err();
        }
        assert!(refused || is_shown_the_door(&mut stream), "such a client is to go (CVE-2024-27316)");
    }
    serves(&api, &daemon);
    assert_small(&daemon);
}

#[test]
fn messages_that_say_they_are_huge() {
    let daemon = start();
    let api = Api::connect(&daemon);
    let mut connections = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&daemon);
        let headers = call_headers("/types.API/CreateContainer");
        stream.write_all(&frame(HEADERS, END_HEADERS, 1, &headers)).unwrap();
        // A message of 2 GB, of which little ever comes.
        stream.write_all(&frame(DATA, 0, 1, &[0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3])).unwrap();
        connections.push(stream);
    }
    let bundle = daemon.bundle().build();
    let mut request = create_request(&bundle);
    request.labels = vec!["x".repeat(100 << 20)];
    let error = api.create(request).unwrap_err();
    assert!([tonic::Code::OutOfRange, tonic::Code::ResourceExhausted].contains(&error.code()), "{error:?}");
    serves(&Api::connect(&daemon), &daemon);
    assert_small(&daemon);
}
