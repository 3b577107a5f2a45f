//! What has become of it all: a container is gone without a trace or works, each start that was told has one end that is
//! true, the id can be used again, nobody else was disturbed, and nothing is left.

use super::scenario::{Scenario, Seen, assert_log_is_whole};
use super::world::{ASKED, Mode, Payload, World, waiting_exec};
use crate::support::{
    Api, KILLED, SIGKILL, SOON, UNKNOWN, assert_starts_and_exits_match, create_request, exec_request, shown,
};
use gantry_api::types::Event;
use gantry_testkit::wait_for;
use prost_types::Timestamp;
use std::fmt;

/// What has become of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nobody was told of it, and nothing is left of it.
    Gone,
    /// It runs and can be worked with; so does its exec, if one was asked for.
    Works,
    /// The same, without the exec that was asked for, of which nobody was told.
    WorksAlone,
    /// It runs and can be worked with, and the end of its exec was told.
    ExecEnded(u32),
    /// Its end was told.
    Ended(u32),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("gone"),
            Self::Works => f.write_str("works"),
            Self::WorksAlone => f.write_str("works, no exec"),
            Self::ExecEnded(status) => write!(f, "works, exec ended {status}"),
            Self::Ended(status) => write!(f, "ended {status}"),
        }
    }
}

impl Seen {
    /// Whether this process ends without anybody doing any more.
    fn will_end(&self, process: &str) -> bool {
        self.ends.is_some_and(|(ending, _)| ending == process) && !matches!(self.answer, Some(Err(_)))
    }
}

/// The last event that there was before.
pub(super) fn newest(api: &Api) -> Option<Timestamp> {
    api.stored_events(None).last().and_then(|event| event.timestamp)
}

/// What may be true of an end: what the process was asked for, or 137 if something killed it, or 255 if nobody could know.
pub(super) struct Truth {
    pub(super) may_be_killed: bool,
    pub(super) may_be_unknown: bool,
}

/// Finds out what has become of the container; see this module.
pub(super) fn judge(world: &mut World, seen: &Seen, since: Option<Timestamp>, truth: &Truth) -> Outcome {
    let api = world.api();
    let outcome = settled(&api, seen, since);
    end(&api, &seen.id, since);
    let check = world.mode != Mode::ShortLog;
    if check {
        assert_ends_are_true(&api.stored_events(since), seen, outcome, truth);
    }
    if let (Some(folder), Outcome::Ended(status)) = (&seen.log, outcome) {
        assert_log_is_whole(folder, status);
    }
    world.leaks.assert_clean();

    // The same ids again.
    let request = create_request(world.bundle(Payload::Waits));
    let id = request.id.clone();
    let mut events = api.events();
    api.create(request).expect("the same container again");
    api.add_process(exec_request(&id, "e1", &["true"])).expect("the same exec again");
    assert_eq!(events.exit_of(&id, "e1"), 0);
    api.signal(&id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(&id, "init"), KILLED);
    assert_eq!(api.ended(&id).unwrap().status, KILLED);
    world.assert_bystander_is_undisturbed(&api);
    world.leaks.assert_clean();
    outcome
}

/// Another restart changes nothing.
pub(super) fn assert_a_restart_changes_nothing(world: &mut World, since: Option<Timestamp>) {
    let before = shown(&world.api().stored_events(since));
    world.daemon.kill_hard();
    world.daemon.restart();
    assert_eq!(shown(&world.api().stored_events(since)), before, "the log after another restart");
    world.leaks.assert_clean();
}

/// Waits until it is clear what has become of the container.
fn settled(api: &Api, seen: &Seen, since: Option<Timestamp>) -> Outcome {
    let id = seen.id.as_str();
    // Whether the log knows of a start, and the status of the end.
    let logged = |process: &str| {
        let events = api.stored_events(since);
        let name = if process == "init" { "" } else { process };
        let started =
            |event: &Event| event.r#type.starts_with("start") && event.id == id && event.pid == name;
        let exit = events.iter().find(|event| is_exit(event, id, process));
        (events.iter().any(started), exit.map(|event| event.status))
    };
    let works = || {
        let Some((status, processes)) = api.find(id) else {
            return match logged("init") {
                (_, Some(status)) => Some(Outcome::Ended(status)),
                // Its end is being told.
                (true, None) => None,
                (false, None) => Some(Outcome::Gone),
            };
        };
        if seen.will_end("init") {
            // Until then it may well work.
            return None;
        }
        if status == "paused" {
            api.set_paused(id, false).ok()?;
        }
        let mut events = api.events_since(since);
        api.add_process(exec_request(id, "e2", &["sh", "-c", "exit 3"])).ok()?;
        assert_eq!(events.exit_of(id, "e2"), 3);
        let is_listed = processes.iter().any(|process| process == "e1");
        Some(match logged("e1") {
            (_, Some(status)) => Outcome::ExecEnded(status),
            // Its end is on its way.
            (started, None) if seen.will_end("e1") || started && !is_listed => return None,
            (_, None) if !seen.exec || is_listed => Outcome::Works,
            (_, None) => {
                api.add_process(waiting_exec(id, "e1")).expect("the id of an exec of which nothing is left");
                Outcome::WorksAlone
            }
        })
    };
    wait_for("a container that is gone or works", SOON, works)
}

/// Ends what is left of it.
fn end(api: &Api, id: &str, since: Option<Timestamp>) {
    for process in ["e1", "init"] {
        if api.find(id).is_some_and(|(_, processes)| processes.iter().any(|found| found == process)) {
            // It may be quicker.
            let _ = api.signal(id, process, SIGKILL);
        }
    }
    wait_for("the container's end", SOON, || api.find(id).is_none().then_some(()));
    // It is off the list before its end is told.
    let told = |events: &[Event]| {
        let last =
            events.iter().rfind(|event| event.id == id && (event.pid.is_empty() || event.pid == "init"));
        last.is_none_or(|event| event.r#type == "exit")
    };
    wait_for("word of the container's end", SOON, || told(&api.stored_events(since)).then_some(()));
}

fn is_exit(event: &Event, id: &str, process: &str) -> bool {
    event.r#type == "exit" && event.id == id && event.pid == process
}

/// Each start has one end, and that is true.
fn assert_ends_are_true(events: &[Event], seen: &Seen, outcome: Outcome, truth: &Truth) {
    assert_starts_and_exits_match(events);
    let of_it = |kind: &'static str| {
        events.iter().filter(move |event| event.id == seen.id && event.r#type.starts_with(kind)).count()
    };
    let before = usize::from(events.first().is_none_or(|event| event.r#type != "start-container"));
    assert!(
        of_it("exit") >= of_it("start") && of_it("exit") <= of_it("start") + 2 * before,
        "{}",
        shown(events)
    );
    for event in events.iter().filter(|event| event.id == seen.id && event.r#type == "exit") {
        let asked = seen.ends == Some((event.pid.as_str(), ASKED));
        // By this test at last.
        let was_left_to_run = match outcome {
            Outcome::Ended(_) => false,
            Outcome::ExecEnded(_) => event.pid == "init",
            _ => true,
        };
        let is_true = match event.status {
            3 => event.pid == "e2",
            ASKED => asked,
            KILLED => truth.may_be_killed || was_left_to_run || !asked,
            UNKNOWN => truth.may_be_unknown,
            _ => false,
        };
        assert!(is_true, "{event:?} is not true in:\n{}", shown(events));
    }
}

/// Whether a client that was told of a start, or was not, can live with what is found.
pub(super) fn fits(scenario: Scenario, seen: &Seen, outcome: Outcome) -> bool {
    let told = seen.answer == Some(Ok(()));
    match scenario {
        Scenario::Start | Scenario::StartTerminal => !told || outcome != Outcome::Gone,
        Scenario::Exec => !told || outcome != Outcome::WorksAlone,
        Scenario::FailedStart | Scenario::HalfCreated | Scenario::RestartHalfStarted => {
            outcome == Outcome::Gone
        }
        Scenario::FailedExec | Scenario::RestartHalfExec => outcome == Outcome::WorksAlone,
        Scenario::Exit | Scenario::AdoptedExit | Scenario::ExitOfMany | Scenario::Logging => {
            !told || matches!(outcome, Outcome::Ended(_))
        }
        Scenario::RestartUntold => outcome == Outcome::Ended(ASKED),
        Scenario::RestartEnded | Scenario::ExitUntold => matches!(outcome, Outcome::Ended(_)),
        Scenario::ExecExit | Scenario::AdoptedExecExit => !told || matches!(outcome, Outcome::ExecEnded(_)),
        Scenario::ShimDeath | Scenario::ForcedAway => outcome == Outcome::Ended(KILLED),
        Scenario::ExecShimDeath => outcome == Outcome::ExecEnded(KILLED),
        Scenario::AdoptedInit | Scenario::AdoptedExec => outcome == Outcome::Works,
        _ => outcome != Outcome::Gone,
    }
}
