//! Runtimes that say yes to everything and name somebody else's process, and one that cannot delete.

use super::{Stranger, daemon};
use crate::support::{Api, SOON, create_request, install};
use gantry_api::types::CreateContainerRequest;
use gantry_testkit::{Daemon, Leaks, Process, Runtime};
use std::path::Path;

/// What reads the command line of a `create`.
const PRELUDE: &str = r#"command="$*"
while test $# -gt 0; do
    case $1 in
        --pid-file) pid=$2 ;;
        --log) log=$2 ;;
    esac
    shift
done
case " $command " in
    *' create '*) ;;
"#;

/// The longest text of an error that a client gets, however much a runtime has said.
const LONGEST_TEXT: usize = 64 << 10;

fn text(program: &Path) -> String {
    program.to_str().unwrap().to_owned()
}

/// Starts a container by a runtime that does `create` as told, and answers everything else by `otherwise`; returns the error's text.
#[track_caller]
fn fails(daemon: &Daemon, api: &Api, what: &str, create: &str, otherwise: &str) -> String {
    let leaks = Leaks::snapshot(daemon.scratch());
    let script = format!("{PRELUDE}    *) {otherwise} ;;\nesac\n{create}");
    let runtime = text(&install(daemon.scratch().path(), "bad-runtime", &script));
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let error = api.create(CreateContainerRequest { runtime, ..create_request(&bundle) });
    let error = error.expect_err(what);
    println!("{what}: {:?}: {}", error.code(), error.message().chars().take(200).collect::<String>());
    assert!(error.message().len() < LONGEST_TEXT, "{what}: {} bytes of text", error.message().len());
    assert!(!error.message().is_empty(), "{what}: no reason is given");
    assert!(api.state("").unwrap().is_empty(), "{what}: it is listed");
    leaks.assert_clean();
    // The same id, by a good one.
    let mut events = api.events();
    let good = CreateContainerRequest {
        id: bundle.id().to_owned(),
        ..create_request(&daemon.bundle().shell("exit 3").build())
    };
    api.create(good).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 3, "{what}");
    leaks.assert_clean();
    error.message().to_owned()
}

#[test]
fn a_pid_of_somebody_else_is_refused_and_never_signalled() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let stranger = Stranger::start();
    let daemons = daemon.pid();
    for pid in [stranger.pid(), 1, daemons] {
        // It lies all along: start, state and delete succeed too.
        let create = format!("printf {pid} >\"$pid\"; exit 0");
        for otherwise in ["exit 0", "exit 1"] {
            let text = fails(&daemon, &api, "a stranger's pid", &create, otherwise);
            assert!(text.contains(&format!("the runtime wrote pid {pid}")), "{text}");
        }
    }
    // In an exec, too.
    let running = daemon.bundle().args(["sleep", "1000"]).build();
    let lie =
        format!("case \" $command \" in *' exec '*) printf {} >\"$pid\"; exit 0 ;; esac", stranger.pid());
    let real = daemon.binaries().runtime().display().to_string();
    let script = format!(
        "{}    *) ;;\nesac\n{lie}\neval exec {real} $command",
        PRELUDE.replace("*' create '*) ;;\n", "")
    );
    let runtime = text(&install(daemon.scratch().path(), "lying-runtime", &script));
    let runtime_args = Runtime::BuiltIn.command(daemon.scratch()).args;
    let request = CreateContainerRequest { runtime, runtime_args, ..create_request(&running) };
    api.create(request).unwrap();
    let leaks = Leaks::snapshot(daemon.scratch());
    let error = api.add_process(crate::support::exec_request(running.id(), "e1", &["sleep", "1000"]));
    let error = error.unwrap_err();
    assert!(error.message().contains(&stranger.pid().to_string()), "{error:?}");
    leaks.assert_clean();
    assert!(stranger.is_alive(), "a stranger was ended");
    assert!(Process::of(i32::try_from(daemons).unwrap()).is_some_and(|process| process.is_alive()));
}

#[test]
fn a_runtime_that_cannot_delete() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let real = daemon.binaries().runtime().display().to_string();
    let script = format!("case \" $* \" in *' delete '*) echo no >&2; exit 1 ;; esac\nexec {real} \"$@\"");
    let runtime = text(&install(daemon.scratch().path(), "clinging-runtime", &script));
    let runtime_args = Runtime::BuiltIn.command(daemon.scratch()).args;
    let bundle = daemon.bundle().shell("exit 9").build();
    let mut events = api.events();
    let request = CreateContainerRequest { runtime, runtime_args, ..create_request(&bundle) };
    api.create(request).unwrap();
    // Its end is told all the same, once, and said to be untidy.
    assert_eq!(events.exit_of(bundle.id(), "init"), 9);
    gantry_testkit::wait_until("a word about it", SOON, || {
        daemon.log().contains("the runtime cannot delete the container")
    });
    assert!(api.find(bundle.id()).is_none());
    // What is the runtime's own is left to it; by a good runtime it goes.
    let mut delete = Runtime::BuiltIn.command(daemon.scratch()).subcommand("delete");
    assert!(delete.args(["--force", bundle.id()]).status().unwrap().success());
}
