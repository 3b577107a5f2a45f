//! The daemon is killed at each step of a start, an exec and an exit. Afterwards each container is listed and works,
//! or is gone without a trace, and each start that was reported has one exit.

use crate::support::{
    Api, KILLED, SIGKILL, SOON, assert_starts_and_exits_match, create_request, exec_request, shown,
};
use gantry_api::types::Event;
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, finish};
use prost_types::Timestamp;
use rustix::process::Signal;
use std::thread;

/// What a client is waiting for while the daemon is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum During {
    InitStart,
    InitExit,
    ExecStart,
    ExecExit,
}

/// What has become of the process when the next daemon is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nobody was told of it, and nothing is left of it.
    Gone,
    /// It runs and can be worked with.
    Works,
    /// Its exit is reported.
    Exited,
}

use During::{ExecExit, ExecStart, InitExit, InitStart};
use Outcome::{Exited, Gone, Works};

/// Until a start is in the log nobody can have been told of it.
const STEPS: [(&str, During, Outcome); 28] = [
    ("init::folder", InitStart, Gone),
    ("init::recorded", InitStart, Gone),
    ("init::spawned", InitStart, Gone),
    ("init::created", InitStart, Gone),
    ("init::identified", InitStart, Gone),
    ("init::running", InitStart, Gone),
    ("init::start-logged", InitStart, Works),
    ("init::started", InitStart, Works),
    ("init::answered", InitStart, Works),
    ("init::ended", InitExit, Exited),
    ("init::deleted", InitExit, Exited),
    ("init::buried", InitExit, Exited),
    ("init::exit-logged", InitExit, Exited),
    ("init::told", InitExit, Exited),
    ("init::forgotten", InitExit, Exited),
    ("exec::recorded", ExecStart, Gone),
    ("exec::spawned", ExecStart, Gone),
    ("exec::created", ExecStart, Gone),
    ("exec::identified", ExecStart, Gone),
    ("exec::running", ExecStart, Gone),
    ("exec::start-logged", ExecStart, Works),
    ("exec::started", ExecStart, Works),
    ("exec::answered", ExecStart, Works),
    ("exec::ended", ExecExit, Exited),
    ("exec::buried", ExecExit, Exited),
    ("exec::exit-logged", ExecExit, Exited),
    ("exec::told", ExecExit, Exited),
    ("exec::forgotten", ExecExit, Exited),
];

#[test]
fn killed_at_every_step_builtin() {
    killed_at_every_step(Runtime::BuiltIn);
}

#[test]
fn killed_at_every_step_runc() {
    killed_at_every_step(Runtime::Runc);
}

fn killed_at_every_step(runtime: Runtime) {
    let mut failed = 0;
    let mut bundle = Bundle::busybox().args(["sleep", "1000"]).build();
    println!("{:<20} {:<8} found", "killed at", "expected");
    for (step, during, expected) in STEPS {
        // A thread of its own, so that one failed step does not hide the others.
        let found = thread::scope(|scope| scope.spawn(|| killed_at(step, during, runtime, &bundle)).join());
        let found = match found {
            Ok(found) if found == expected => format!("{found:?}"),
            Ok(found) => {
                failed += 1;
                format!("{found:?}  <== not as expected")
            }
            Err(_) => {
                failed += 1;
                // Not on the ruins.
                bundle = Bundle::busybox().args(["sleep", "1000"]).build();
                "FAILED, see above".to_owned()
            }
        };
        println!("{step:<20} {:<8} {found}", format!("{expected:?}"));
    }
    assert_eq!(failed, 0, "steps of {} that did not end as expected", runtime.name());
}

#[test]
fn killed_again_while_it_reports_what_ended_in_its_absence() {
    for (step, during, _) in STEPS {
        if during == InitExit || during == ExecExit {
            killed_again_at(step);
        }
    }
}

fn killed_again_at(step: &str) {
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).kill_at("no-step"));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let init = api.run(&bundle);
    api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap();
    daemon.kill_hard();
    init.signal(Signal::KILL);
    let killed = finish(daemon.command().env("GANTRY_KILL_AT", step), SOON);
    killed.expect_code(137);

    daemon.restart();
    let api = Api::connect(&daemon);
    let exits = api.events_from_the_start().up_to_exit_of(bundle.id(), "init").split_off(2);
    let exit = |process: &str| ("exit".to_owned(), bundle.id().to_owned(), process.to_owned(), KILLED);
    assert_eq!(exits, [exit("e1"), exit("init")], "after a kill at {step}");
    leaks.assert_clean();
    daemon.kill_hard();
    daemon.restart();
    assert_starts_and_exits_match(&Api::connect(&daemon).stored_events(None));
    leaks.assert_clean();
}

fn killed_at(step: &str, during: During, runtime: Runtime, bundle: &Bundle) -> Outcome {
    let scratch = bundle.scratch();
    let mut daemon = Daemon::start_in(scratch, DaemonOptions::new(runtime).kill_at(step));
    let leaks = Leaks::snapshot(scratch);
    let id = bundle.id();
    let api = Api::connect(&daemon);
    let before = api.stored_events(None);
    let now = || before.last().and_then(|event| event.timestamp);
    let live = api.events();
    let exec = exec_request(id, "e1", &["sleep", "1000"]);
    let answered = match during {
        InitStart => api.create(create_request(bundle)).is_ok(),
        ExecStart => {
            api.create(create_request(bundle)).unwrap();
            api.add_process(exec).is_ok()
        }
        InitExit => {
            api.create(create_request(bundle)).unwrap();
            api.signal(id, "init", SIGKILL).is_ok()
        }
        ExecExit => {
            api.create(create_request(bundle)).unwrap();
            api.add_process(exec).unwrap();
            api.signal(id, "e1", SIGKILL).is_ok()
        }
    };
    assert!(!daemon.wait_for_death().success());
    let seen = live.rest();

    daemon.restart_with(DaemonOptions::new(runtime));
    let api = Api::connect(&daemon);
    let outcome = look(&api, id, during, now());
    if during == InitStart || during == ExecStart {
        assert!(!answered || outcome == Works, "a client was told of a start of which nothing is left");
    }
    end(&api, id);
    leaks.assert_clean();

    // The same ids again.
    let mut events = api.events();
    api.create(create_request(bundle)).unwrap();
    api.add_process(exec_request(id, "e1", &["true"])).unwrap();
    assert_eq!(events.exit_of(id, "e1"), 0);
    api.signal(id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(id, "init"), KILLED);
    assert_eq!(api.ended(id).unwrap().status, KILLED);
    leaks.assert_clean();

    // Whoever resumes after the last event that it has seen gets the rest, and another restart changes nothing.
    let log = api.stored_events(now());
    assert_starts_and_exits_match(&log);
    let last = seen.last().and_then(|event| event.timestamp).or_else(now);
    let resumed: Vec<Event> = seen.into_iter().chain(api.stored_events(last)).collect();
    assert_eq!(shown(&resumed), shown(&log), "seen live and by replay, and the log");
    daemon.kill_hard();
    daemon.restart();
    assert_eq!(shown(&Api::connect(&daemon).stored_events(now())), shown(&log));
    leaks.assert_clean();
    outcome
}

/// What has become of the process, by what a client can find out.
fn look(api: &Api, id: &str, during: During, since: Option<Timestamp>) -> Outcome {
    let mut events = api.events_since(since);
    if during == InitExit {
        assert_eq!(events.exit_of(id, "init"), KILLED);
        assert_eq!(api.find(id), None);
        return Exited;
    }
    if during == ExecExit {
        assert_eq!(events.exit_of(id, "e1"), KILLED);
    }
    let Some((status, processes)) = api.find(id) else {
        assert!(during == InitStart, "the container around the exec is gone");
        return Gone;
    };
    assert_eq!(status, "running");
    api.add_process(exec_request(id, "e2", &["sh", "-c", "exit 3"])).unwrap();
    assert_eq!(events.exit_of(id, "e2"), 3);
    let has_exec = processes.iter().any(|process| process == "e1");
    match during {
        InitStart => Works,
        ExecStart if has_exec => {
            api.signal(id, "e1", SIGKILL).unwrap();
            assert_eq!(events.exit_of(id, "e1"), KILLED);
            Works
        }
        ExecStart => Gone,
        InitExit | ExecExit => {
            assert!(!has_exec, "an exec whose exit was reported is listed");
            Exited
        }
    }
}

fn end(api: &Api, id: &str) {
    if api.find(id).is_some() {
        let mut events = api.events();
        api.signal(id, "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(id, "init"), KILLED);
    }
}
