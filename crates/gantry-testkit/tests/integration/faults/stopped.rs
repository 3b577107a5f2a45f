//! SIGSTOP of whoever takes part: others go on, limits hold, and after SIGCONT everything is told once. What a stopped
//! shim and a stopped daemon do to streams is in `shim::stopped`.

use super::{assert_told_once, assert_works, daemon, ends_with};
use crate::support::{Api, SOON, create_request, install, shim_of};
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Process, Runtime, Scratch};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn a_stopped_daemon_tells_everything_once_when_it_goes_on() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let mut expected = BTreeMap::new();
    let mut inits = Vec::new();
    for status in [50, 51, 52] {
        let bundle = daemon.bundle().shell(&ends_with(status)).build();
        inits.push(api.run(&bundle));
        expected.insert(bundle.id().to_owned(), status);
    }
    let own = Process::of(i32::try_from(daemon.pid()).unwrap()).unwrap();
    own.signal(Signal::STOP);
    for init in &inits {
        init.signal(Signal::TERM);
        assert!(init.ends_within(SOON));
    }
    own.signal(Signal::CONT);
    assert_told_once(&api, &mut events, &expected);
}

#[test]
fn a_stopped_payload_and_a_stopped_shim_keep_nobody_waiting() {
    let daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundles = [60, 61].map(|status| daemon.bundle().shell(&ends_with(status)).build());
    let inits = bundles.each_ref().map(|bundle| api.run(bundle));
    let shim = shim_of(&inits[1]);
    inits[0].signal(Signal::STOP);
    shim.signal(Signal::STOP);
    assert_works(&api, &daemon.bundle().args(["true"]).build());
    for bundle in &bundles {
        api.signal(bundle.id(), "init", 15).unwrap();
    }
    // A stopped process acts on no signal but this one, and its shim needs no word of the other.
    assert_eq!(api.state("").unwrap().len(), 2);
    inits[0].signal(Signal::CONT);
    assert_eq!(events.exit_of(bundles[0].id(), "init"), 60);
    assert!(inits[1].ends_within(SOON));
    assert!(api.find(bundles[1].id()).is_some(), "nobody has said how it ended");
    shim.signal(Signal::CONT);
    assert_eq!(events.exit_of(bundles[1].id(), "init"), 61);
    leaks.assert_clean();
}

#[test]
fn a_runtime_that_is_stopped_during_create_runs_into_the_limit() {
    let scratch = Scratch::new();
    let script = "case \" $* \" in *' create '*) kill -STOP $$ ;; esac\nexit 1";
    let stopping = install(scratch.path(), "stopping-runtime", script);
    let options = DaemonOptions::new(Runtime::BuiltIn).start_timeout(Duration::from_secs(1));
    let daemon = Daemon::start_in(&scratch, options);
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(&scratch);
    let bundle = daemon.bundle().args(["true"]).build();
    let runtime = stopping.to_str().unwrap().to_owned();
    let request = gantry_api::types::CreateContainerRequest { runtime, ..create_request(&bundle) };
    let error = api.create(request).unwrap_err();
    let text = "containerd: container did not start before the specified timeout";
    assert!(error.message().contains(text), "{error:?}");
    leaks.assert_clean();
    assert_works(&api, &bundle);
}
