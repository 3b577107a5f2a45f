//! Event streams that are never read, by the thousand, and requests from everywhere at once.

use super::assert_small;
use crate::support::{Api, create_request};
use gantry_api::types::{EventsRequest, StateRequest};
use gantry_testkit::{Daemon, DaemonOptions, Runtime};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Event streams that one connection may have.
const OF_CONNECTION: usize = 4096;

#[test]
fn thousands_of_streams_that_nobody_reads() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let (hostile, honest) = (Api::connect(&daemon), Api::connect(&daemon));
    let mut silent = Vec::new();
    let mut client = hostile.client();
    let refused = hostile.wait("a refusal", async {
        loop {
            match client.events(EventsRequest::default()).await {
                Ok(stream) => silent.push(stream),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("event streams"), "{refused:?}");
    assert_eq!(silent.len(), OF_CONNECTION);
    // Somebody else has a place, and gets all that there is.
    let mut events = honest.events();
    for code in 0..5 {
        let bundle = daemon.bundle().shell(&format!("exit {code}")).build();
        honest.create(create_request(&bundle)).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "init"), code);
    }
    assert_small(&daemon);
    // Those that go give their places back.
    drop(silent);
    gantry_testkit::wait_until("there is room again", crate::support::SOON, || {
        hostile.wait("a stream", client.events(EventsRequest::default())).is_ok()
    });
}

#[test]
fn a_flood_of_requests_leaves_the_honest_client_served() {
    const CLIENTS: usize = 16;
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let api = Api::connect(&daemon);
                let mut client = api.client();
                while !stop.load(Ordering::Relaxed) {
                    // Whatever it is answered: it is not this client that matters.
                    let _ = api.wait("State", client.state(StateRequest { id: "nobody".to_owned() }));
                    let _ = api.wait("State", client.state(StateRequest::default()));
                }
            });
        }
        let honest = Api::connect(&daemon);
        let mut events = honest.events();
        for code in 0..5 {
            let bundle = daemon.bundle().shell(&format!("exit {code}")).build();
            honest.create(create_request(&bundle)).unwrap();
            assert_eq!(events.exit_of(bundle.id(), "init"), code);
            assert_eq!(honest.health("").unwrap(), 1);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_small(&daemon);
}
