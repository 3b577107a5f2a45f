//! Runtimes that hang, crash, lie or babble: the start fails and says why, nothing is left, nobody else is signalled, and
//! the next container with a good runtime works.

use super::{Stranger, assert_works};
use crate::support::{Api, create_request, install};
use gantry_api::types::CreateContainerRequest;
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, Scratch};
use std::time::Duration;

/// Tries a runtime whose `create` is this script, with `$pidfile` and `$log`; the error's text.
fn failure_of(create: &str, delete: &str) -> String {
    let scratch = Scratch::new();
    let script = format!(
        "for arg; do case \"$last\" in --pid-file) pidfile=$arg ;; --log) log=$arg ;; esac; last=$arg; done\n\
         case \" $* \" in *' create '*) {create} ;; *' delete '*) {delete} ;; esac\nexit 1"
    );
    let bad = install(scratch.path(), "bad-runtime", &script);
    let options = DaemonOptions::new(Runtime::BuiltIn).start_timeout(Duration::from_secs(3));
    let daemon = Daemon::start_in(&scratch, options);
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["true"]).build();
    let leaks = Leaks::snapshot(&scratch);
    let runtime = bad.to_str().unwrap().to_owned();
    let error = api.create(CreateContainerRequest { runtime, ..create_request(&bundle) }).unwrap_err();
    leaks.assert_clean();
    assert_eq!(api.state("").unwrap().len(), 0);
    assert_eq!(api.stored_events(None), [], "nothing has run");
    assert_works(&api, &bundle);
    error.message().to_owned()
}

#[test]
fn one_that_crashes() {
    let error = failure_of("kill -SEGV $$", "exit 1");
    assert!(
        error.contains("bad-runtime") && error.contains("create") && error.contains("signal: 11"),
        "{error}"
    );
}

#[test]
fn one_that_says_yes_and_does_nothing() {
    let error = failure_of("exit 0", "exit 1");
    assert!(error.contains("bad-runtime") && error.contains("without writing its pid file"), "{error}");
}

#[test]
fn one_that_babbles() {
    for (garbage, place) in [
        ("head -c 10000000 /dev/urandom", "&2"),
        ("head -c 10000000 /dev/zero", "&2"),
        ("head -c 10000000 /dev/urandom", "$log"),
        ("head -c 10000000 /dev/zero | tr '\\0' x", "$log"),
    ] {
        let error = failure_of(&format!("{garbage} >{place}; exit 3"), "exit 1");
        assert!(error.len() < 20_000, "{} bytes after {garbage} >{place}", error.len());
    }
}

#[test]
fn one_that_writes_no_pid() {
    for text in ["", "-1", "-4711", "0", "none", "99999999999999999999", "1 2", "\\377\\376"] {
        let error = failure_of(&format!("printf '{text}' >$pidfile; exit 0"), "exit 1");
        assert!(error.contains("bad-runtime") || error.contains("pid"), "{text:?}: {error}");
    }
}

#[test]
fn one_that_names_a_stranger() {
    let stranger = Stranger::start();
    for (what, pid) in [
        ("init of the machine", "1".to_owned()),
        ("an unrelated process", stranger.pid().to_string()),
        ("the runtime itself, which has ended", "$$".to_owned()),
    ] {
        let error = failure_of(&format!("printf %s \"{pid}\" >$pidfile; exit 0"), "exit 1");
        assert!(!error.is_empty(), "{what}");
        assert!(stranger.is_alive(), "{what}: a stranger was signalled");
    }
}

#[test]
fn one_that_leaves_children_behind() {
    let error = failure_of("sleep 1000 & sleep 1001 >/dev/null 2>&1 </dev/null & exit 3", "exit 1");
    assert!(error.contains("bad-runtime") && error.contains("create"), "{error}");
}

#[test]
fn one_whose_delete_fails() {
    for delete in ["echo no >&2; exit 5", "kill -SEGV $$"] {
        let error = failure_of("exit 3", delete);
        assert!(error.contains("bad-runtime create: exit status: 3"), "{delete}: {error}");
    }
}
