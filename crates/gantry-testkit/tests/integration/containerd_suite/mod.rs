//! What the integration tests of containerd 0.2 check, with a client like theirs, and with each runtime where
//! that has a say in it.
//!
//! Each test is named after the one that it stands for; times are shorter where nothing depends on them. Where 0.2 named a
//! limit (an exit within two seconds), the order of events is what is tested here, and the limit is that of every wait.

mod execs;
mod lives;
mod restarts;

use crate::support::{Api, SOON, create_request, exec_request, old_client::now};
use gantry_api::types::{AddProcessRequest, CreateContainerRequest, Event};
use gantry_testkit::{Bundle, BundleBuilder, Daemon, DaemonOptions, Leaks, Runtime, wait_until};
use prost_types::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};

/// A daemon and an old client of it, subscribed before anything happens.
struct Suite {
    daemon: Daemon,
    api: Api,
    events: crate::support::Events,
    leaks: Leaks,
    start: Timestamp,
}

/// The output of a process in a plain file: what is in it when the exit is told is all there is.
struct Output(PathBuf);

/// What of an event is compared: type, process, status.
type Key = (&'static str, &'static str, u32);

impl Suite {
    fn start(runtime: Runtime) -> Self {
        let start = now();
        let daemon = Daemon::start(DaemonOptions::new(runtime));
        let leaks = Leaks::snapshot(daemon.scratch());
        let api = Api::connect(&daemon);
        let events = api.events_since(Some(start));
        Self { daemon, api, events, leaks, start }
    }

    /// A bundle that runs a script.
    fn shell(&self, script: &str) -> BundleBuilder {
        self.daemon.bundle().shell(script)
    }

    /// `top`, which runs until it is killed.
    fn top(&self) -> Bundle {
        let bundle = self.daemon.bundle().args(["top", "-b", "-d", "1000"]).build();
        self.create(&bundle);
        bundle
    }

    fn create(&self, bundle: &Bundle) -> Output {
        let output = Output::create(bundle, "init");
        let request = CreateContainerRequest { stdout: output.text(), ..create_request(bundle) };
        self.api.create(request).unwrap();
        output
    }

    fn exec(&self, bundle: &Bundle, process: &str, args: &[&str]) -> Output {
        let output = Output::create(bundle, process);
        let request = exec_request(bundle.id(), process, args);
        self.api.add_process(AddProcessRequest { stdout: output.text(), ..request }).unwrap();
        output
    }

    /// Insists that exactly these are the next events, all of one container.
    #[track_caller]
    fn expect(&mut self, bundle: &Bundle, keys: &[Key]) {
        for key in keys {
            let event = self.events.next();
            assert_eq!((&*event.id, self::key(&event)), (bundle.id(), (key.0, key.1, key.2)));
        }
    }

    /// Kills init and insists that nothing is left.
    fn end(mut self, bundle: &Bundle) {
        self.api.signal(bundle.id(), "init", 9).unwrap();
        assert_eq!(self.events.exit_of(bundle.id(), "init"), 137);
        self.assert_empty();
    }

    fn assert_empty(&self) {
        assert!(self.api.state("").unwrap().is_empty());
        self.leaks.assert_clean();
    }

    fn is_listed(&self, bundle: &Bundle) -> bool {
        self.api.find(bundle.id()).is_some()
    }
}

// === impl Output ===

impl Output {
    fn create(bundle: &Bundle, process: &str) -> Self {
        let path = bundle.path().join(format!("{process}-output"));
        fs::write(&path, "").unwrap();
        Self(path)
    }

    fn text(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }

    fn read(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    fn wait_for(&self, text: &str) {
        wait_until(text, SOON, || self.read().contains(text));
    }
}

fn key(event: &Event) -> (&str, &str, u32) {
    (&event.r#type, &event.pid, event.status)
}

/// Milliseconds from one event to another.
fn milliseconds_between(first: &Event, second: &Event) -> i64 {
    let at = |event: &Event| {
        let Timestamp { seconds, nanos } = event.timestamp.unwrap();
        seconds * 1_000 + i64::from(nanos) / 1_000_000
    };
    at(second) - at(first)
}

/// A container's records.
fn record(daemon: &Daemon, bundle: &Bundle, name: &str) -> PathBuf {
    Path::new(&daemon.state_dir()).join(bundle.id()).join(name)
}
