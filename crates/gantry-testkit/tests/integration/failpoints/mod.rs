//! Daemon, shim and runtime are killed at each of their failpoints (docs/failpoints.md), and made to fail at each that is
//! before an operation that can. [`table`] says what is being done when a point is reached, [`judge`] what has to be true
//! afterwards. `make faults` prints the whole table.

mod judge;
mod scenario;
mod table;
mod world;

use crate::support::{KILLED, SIGKILL, SOON, shown};
use gantry_record::failpoint::{Kind, points};
use gantry_testkit::{Runtime, wait_until};
use judge::{Outcome, Truth, assert_a_restart_changes_nothing, fits, judge, newest};
use scenario::Scenario;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use table::{Row, rows};
use world::{Mode, World};

/// Workers of one test: most of the time is waiting.
const WORKERS: usize = 2;

/// The variable that names a file to which the table is written too.
const TABLE_FILE: &str = "GANTRY_FAULTS_TABLE";

/// What happens at the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    /// With this error, which reads so.
    Fail(&'static str, &'static str),
    Delay,
}

const NO_SPACE: Fault = Fault::Fail("ENOSPC", "o space left on device");
const BROKEN: Fault = Fault::Fail("EIO", "nput/output error");

#[test]
fn every_point_is_in_the_table_or_has_a_reason_not_to_be() {
    let listed: BTreeSet<String> = rows().iter().map(|row| row.point.clone()).collect();
    let left_out: BTreeSet<String> = table::LEFT_OUT.iter().map(|(point, _)| (*point).to_owned()).collect();
    let all: BTreeSet<String> = points().into_iter().map(|point| point.name).collect();
    assert_eq!(listed.union(&left_out).cloned().collect::<BTreeSet<_>>(), all);
    assert_eq!(listed.intersection(&left_out).next(), None);
}

#[test]
fn daemon_killed_builtin() {
    go_through(Runtime::BuiltIn, Fault::Kill, |row| row.is_about("daemon") && row.scenario.is_plain());
}

#[test]
fn daemon_killed_at_other_work() {
    let other = |row: &Row| !row.scenario.is_plain() && !row.scenario.restarts();
    go_through(Runtime::BuiltIn, Fault::Kill, |row| row.is_about("daemon") && other(row));
}

#[test]
fn daemon_killed_runc() {
    // Shims are executed there.
    let is_wanted = |row: &Row| row.is_about("daemon") && row.point != "daemon::shim::fork";
    go_through(Runtime::Runc, Fault::Kill, |row| is_wanted(row) && row.scenario.is_plain());
}

#[test]
fn daemon_killed_while_it_restores() {
    go_through(Runtime::BuiltIn, Fault::Kill, |row| row.scenario.restarts());
}

#[test]
fn shim_killed_builtin() {
    go_through(Runtime::BuiltIn, Fault::Kill, |row| row.is_about("shim") && row.scenario.is_plain());
}

#[test]
fn shim_killed_at_other_work() {
    go_through(Runtime::BuiltIn, Fault::Kill, |row| row.is_about("shim") && !row.scenario.is_plain());
}

#[test]
fn shim_killed_runc() {
    go_through(Runtime::Runc, Fault::Kill, |row| row.is_about("shim") && row.scenario.is_plain());
}

#[test]
fn runtime_killed() {
    go_through(Runtime::BuiltIn, Fault::Kill, |row| row.is_about("runtime") && !row.scenario.restarts());
}

#[test]
fn an_operation_fails_for_want_of_space() {
    let reads = |row: &Row| row.point.ends_with("::read") || row.point.ends_with("::list");
    go_through(Runtime::BuiltIn, NO_SPACE, |row| row.kind == Kind::Io && !reads(row));
}

#[test]
fn an_operation_fails_on_a_broken_disk() {
    go_through(Runtime::BuiltIn, BROKEN, |row| row.kind == Kind::Io);
}

/// Whether a daemon comes back while there is no room yet or again: the shim waits for either.
#[test]
fn a_status_that_cannot_be_written_is_not_lost() {
    for daemon_first in [true, false] {
        let mut world = World::new(Runtime::BuiltIn, Mode::Usual);
        let since = newest(&world.api());
        let arm = |world: &World| world.points.disarm("shim::status-untold");
        let seen = Scenario::ExitUntold.play(&mut world, &arm);
        let full = "shim::record::exitStatus::open";
        assert!(world.points.fires_within(full, SOON));
        if !daemon_first {
            world.points.disarm(full);
        }
        world.daemon.restart();
        let truth = Truth { may_be_killed: false, may_be_unknown: false };
        world.api().events_since(since).exit_of(&seen.id, "init");
        world.points.disarm(full);
        assert_eq!(judge(&mut world, &seen, since, &truth), Outcome::Ended(world::ASKED));
        world.close();
    }
}

/// Such a folder is still there when its exit is told, and the next daemon finds it.
#[test]
fn an_exit_whose_folder_cannot_be_moved_is_told_once() {
    let mut world = World::new(Runtime::BuiltIn, Mode::Usual);
    let since = newest(&world.api());
    let bundle = world.daemon.bundle().args(["sleep", "1000"]).build();
    world.api().run(&bundle);
    let aside = world.daemon.state_dir().join("@ended");
    fs::write(&aside, "").unwrap();
    world.points.arm("daemon::init::exit-logged", "kill");
    // The daemon may be gone before it has answered.
    let _ = world.api().signal(bundle.id(), "init", SIGKILL);
    assert!(!world.daemon.wait_for_death().success());
    let folder = world.daemon.state_dir().join(bundle.id());
    assert!(folder.exists(), "it could be moved after all");
    fs::remove_file(&aside).unwrap();
    world.daemon.restart();
    wait_until("the folder is gone", SOON, || !folder.exists() && !aside.exists());
    let told = world.api().stored_events(since);
    let exits = told.iter().filter(|event| event.r#type == "exit" && event.id == bundle.id());
    assert_eq!(exits.map(|event| event.status).collect::<Vec<_>>(), [KILLED], "{}", shown(&told));
    world.close();
}

/// It is not ended for what is no fault of its own.
#[test]
fn what_cannot_be_read_for_long_is_left_alone() {
    let unreadable = ["daemon::record::state.json::read", "daemon::container::list"];
    let mut world = World::new(Runtime::BuiltIn, Mode::Usual);
    for point in unreadable {
        let since = newest(&world.api());
        let arm = |world: &World| world.points.arm(point, "error EIO always");
        let seen = Scenario::Restart.play(&mut world, &arm);
        wait_for_restart(&mut world, Fault::Kill, point);
        assert_eq!(world.api().find(&seen.id), None, "{point}");
        assert!(world.points.has_fired(point));
        world.points.disarm(point);
        world.daemon.restart();
        let truth = Truth { may_be_killed: false, may_be_unknown: false };
        assert_eq!(judge(&mut world, &seen, since, &truth), Outcome::Works, "{point}");
    }
    world.close();
}

#[test]
fn a_container_knows_nothing_of_failpoints() {
    let world = World::new(Runtime::BuiltIn, Mode::Usual);
    let folder = world.points.folder().as_os_str().as_encoded_bytes();
    let environment = std::fs::read(format!("/proc/{}/environ", world.bystander_pid())).unwrap();
    assert!(environment.starts_with(b"PATH="), "{}", String::from_utf8_lossy(&environment));
    assert!(!environment.windows(folder.len()).any(|part| part == folder));
    world.close();
}

#[test]
fn a_step_takes_long() {
    go_through(Runtime::BuiltIn, Fault::Delay, |row| table::DELAYED.contains(&row.point.as_str()));
}

/// What one worker has found.
struct Line {
    row: Row,
    found: String,
    failed: bool,
}

fn go_through(runtime: Runtime, fault: Fault, wanted: impl Fn(&Row) -> bool) {
    let only = std::env::var("GANTRY_FAULTS_ONLY").unwrap_or_default();
    let mut todo: Vec<Row> =
        rows().into_iter().filter(|row| wanted(row) && row.point.contains(&only)).collect();
    // Daemons are kept for as many rows as can be.
    todo.sort_by_key(|row| std::cmp::Reverse(row.mode()));
    let todo = Mutex::new(todo);
    let lines = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(runtime, fault, &todo, &lines));
        }
    });
    let mut lines = lines.into_inner().unwrap();
    lines.sort_by(|a, b| (&a.row.point, a.row.scenario).cmp(&(&b.row.point, b.row.scenario)));
    let failed = lines.iter().filter(|line| line.failed).count();
    let text: String = lines
        .iter()
        .map(|line| {
            let (point, scenario) = (&line.row.point, format!("{:?}", line.row.scenario));
            let runtime = runtime.name();
            format!(
                "{point:<44} {fault:<6} {runtime:<14} {scenario:<18} {}\n",
                line.found,
                fault = fault.name()
            )
        })
        .collect();
    println!("{text}{} rows, {failed} not as they should be", lines.len());
    if let Some(file) = std::env::var_os(TABLE_FILE) {
        use std::io::Write;
        let mut file = std::fs::File::options().create(true).append(true).open(file).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    assert!(!lines.is_empty() || !only.is_empty(), "nothing was tried");
    assert_eq!(failed, 0, "rows that are not as they should be");
}

impl Fault {
    /// The name in the table.
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Fail(errno, _) => errno,
            Self::Delay => "delay",
        }
    }

    /// What the point is armed with.
    fn action(self) -> String {
        match self {
            Self::Kill => "kill".to_owned(),
            Self::Fail(errno, _) => format!("error {errno}"),
            Self::Delay => "delay 300".to_owned(),
        }
    }
}

fn work(runtime: Runtime, fault: Fault, todo: &Mutex<Vec<Row>>, lines: &Mutex<Vec<Line>>) {
    let mut world: Option<World> = None;
    loop {
        let Some(row) = todo.lock().unwrap().pop() else { break };
        if world.as_ref().is_some_and(|world| world.mode != row.mode()) {
            world.take().unwrap().close();
        }
        let mut current = world.take().unwrap_or_else(|| World::new(runtime, row.mode()));
        // So that one row does not hide the others.
        let found = catch_unwind(AssertUnwindSafe(|| try_row(&mut current, &row, fault)));
        let failed = found.is_err();
        match found {
            // A daemon does for a minute without a parent of shims that died young.
            Ok(_) if row.point.starts_with("runtime::resident::") => current.close(),
            Ok(_) => world = Some(current),
            Err(_) => {
                eprintln!(
                    "^^^ {} {} in {:?}\n{}",
                    row.point,
                    fault.name(),
                    row.scenario,
                    last_of_log(&current)
                );
                // Not on the ruins.
                drop(current);
            }
        }
        let found = found.unwrap_or_else(|_| "FAILED, see above".to_owned());
        lines.lock().unwrap().push(Line { row, found, failed });
    }
    if let Some(world) = world {
        world.close();
    }
}

fn last_of_log(world: &World) -> String {
    let log = world.daemon.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn try_row(world: &mut World, row: &Row, fault: Fault) -> String {
    let before = world.api();
    let since = newest(&before);
    let live = (row.mode() == Mode::Usual && !row.scenario.restarts()).then(|| before.events());
    let action = fault.action();
    let point = row.point.as_str();
    let seen = row.scenario.play(world, &|world| world.points.arm(point, &action));
    if !world.points.fires_within(point, SOON) {
        world.points.disarm(point);
        panic!("{point} is never reached, the answer was {:?}", seen.answer);
    }
    world.points.disarm("shim::record::exitStatus::open");
    if matches!(fault, Fault::Fail(..)) && row.is_mended_by_a_restart() {
        world.daemon.restart();
    }
    let is_dead = fault == Fault::Kill && row.is_about("daemon");
    let told_live = if is_dead {
        assert!(!world.daemon.wait_for_death().success());
        world.daemon.restart();
        live.map(crate::support::Events::rest)
    } else {
        if row.scenario == Scenario::ExitUntold {
            world.daemon.restart();
        } else if row.scenario.restarts() {
            wait_for_restart(world, fault, point);
        }
        None
    };
    // The shim is what knows of an end, until it has written it down.
    let of_shim = fault == Fault::Kill && row.is_about("shim");
    let truth = Truth {
        may_be_killed: of_shim && !row.is_after_status(),
        may_be_unknown: of_shim && !row.is_after_status(),
    };
    let outcome = judge(world, &seen, since, &truth);
    assert!(fits(row.scenario, &seen, outcome), "{outcome:?} does not fit what was told: {seen:?}");
    if let Some(expected) = row.expected.filter(|_| fault == Fault::Kill) {
        assert_eq!(outcome, expected);
    }
    if let Some(mut events) = told_live {
        // Whoever resumes after the last event that it has seen gets the rest.
        let log = world.api().stored_events(since);
        let last = events.last().and_then(|event| event.timestamp).or(since);
        events.extend(world.api().stored_events(last));
        assert_eq!(shown(&events), shown(&log), "seen live and by replay, and the log");
    }
    if is_dead && row.mode() != Mode::ShortLog {
        assert_a_restart_changes_nothing(world, since);
    }
    told(fault, &seen, outcome)
}

/// Waits for a daemon that is just starting. Where it cannot go on, it ends, and is there after all the next time.
fn wait_for_restart(world: &mut World, fault: Fault, point: &str) {
    if matches!(fault, Fault::Fail(..)) && table::NEEDED_AT_ONCE.contains(&point) {
        assert!(!world.daemon.wait_for_death().success());
        world.daemon.restart();
    }
    let socket = world.daemon.socket();
    wait_until("somebody who listens", SOON, || UnixStream::connect(&socket).is_ok());
    // Answered when all is restored.
    world.api().state("").unwrap();
}

fn told(fault: Fault, seen: &scenario::Seen, outcome: Outcome) -> String {
    match (fault, &seen.answer) {
        (Fault::Fail(_, reason), Some(Err(error))) => {
            assert!(error.contains(reason), "the error does not say why: {error}");
            format!("{outcome}; refused: {error}")
        }
        (Fault::Fail(..), _) => format!("{outcome}; repaired"),
        (Fault::Delay, Some(Err(error))) => panic!("a delay made it fail: {error}"),
        _ => outcome.to_string(),
    }
}
