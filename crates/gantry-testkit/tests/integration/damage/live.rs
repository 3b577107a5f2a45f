//! Damage to the records of containers that run.

use super::Damage::{Cut, Empty, Fifo, Flip, Folder, Link, Missing, Newer, Says, Socket};
use super::table::Table;
use super::yard::{TRUE_STATUS, Victim, Yard, exits};
use super::{Damage, yard};
use crate::support::{Api, KILLED, Random, SIGKILL, SOON, assert_starts_and_exits_match, shim_of};
use gantry_testkit::Leaks;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// All that can be in a record's place.
const ALL: [Damage; 8] = [Empty, Missing, Folder, Link, Fifo, Socket, Newer, Cut(1)];
/// Those that a reader, or somebody who opens it, could be led astray by.
const PLACES: [Damage; 5] = [Missing, Folder, Link, Fifo, Socket];
/// The records of a process, apart from those that are tried byte by byte.
const OF_PROCESS: [&str; 9] = [
    "init/process.json",
    "init/pid",
    "init/starttime",
    "init/shim-log.json",
    "init/log.json",
    "e1/process.json",
    "e1/pid",
    "e1/starttime",
    "runtime/state.json",
];
/// The FIFOs, in whose place something else is.
const FIFOS: [&str; 4] = ["init/exit", "init/control", "e1/exit", "e1/control"];
/// What is written when something has happened, and has not: exit status, figures, markers.
const MARKERS: [&str; 5] = ["init/exitStatus", "init/usage", "init/starting", "init/handover", "e1/starting"];
/// Numbers that are no pid of ours. 0 and negative ones are whole groups, or everybody, for kill(2).
const PIDS: [&str; 7] = ["1", "-1", "0", "2", "99999999999999999999", "1\n1", "0x1"];

fn wanted(random: &mut Random) -> Vec<(&'static str, Damage)> {
    let mut wanted = Vec::new();
    for record in OF_PROCESS.into_iter().chain(["state.json"]) {
        wanted.extend(ALL.map(|damage| (record, damage)));
    }
    for record in FIFOS {
        wanted.extend(PLACES.map(|damage| (record, damage)));
    }
    for record in MARKERS {
        wanted.extend([Empty, Folder, Link, Fifo].map(|damage| (record, damage)));
    }
    for record in ["init/pid", "e1/pid"] {
        wanted.extend(PIDS.map(|pid| (record, Says(pid))));
    }
    for record in ["init/pid", "init/starttime", "e1/pid"] {
        wanted.extend((0..4).map(|place| (record, Flip(place))));
        wanted.extend((2..4).map(|length| (record, Cut(length))));
    }
    for record in ["state.json", "init/process.json", "runtime/state.json"] {
        wanted.extend((0..6).map(|_| (record, Flip(random.below(150)))));
        wanted.extend((0..6).map(|_| (record, Cut(random.below(150)))));
    }
    wanted
}

/// What has become of a damaged container that ran.
fn outcome(
    yard: &Yard,
    api: &Api,
    log: &str,
    running: &BTreeMap<String, Vec<String>>,
    victim: &Victim,
) -> &'static str {
    let Victim { id, record, damage, init, exec } = victim;
    let what = format!("{record} {damage:?} of {id}");
    let stored = || api.stored_events(None);
    match running.get(id) {
        None => {
            // Given up as a whole: said, ended, told once.
            assert!(init.ends_within(SOON), "{what}: init lives on and nobody knows of it");
            assert!(exec.as_ref().is_none_or(|exec| exec.ends_within(SOON)), "{what}: the exec lives on");
            let folder = yard.daemon.state_dir().join(id);
            assert!(folder.symlink_metadata().is_err(), "{what}: its folder is still there");
            assert!(yard.is_set_aside(log, id), "{what}: the log says nothing of where it is");
            assert_eq!(exits(&stored(), id, "init"), [KILLED], "{what}");
            "set aside"
        }
        Some(processes) => {
            assert!(init.is_alive(), "{what}: it is listed and does not run");
            let Some(exec) = exec else { return "taken up" };
            if processes.iter().any(|process| process == "e1") {
                assert!(exec.is_alive(), "{what}: the exec is listed and does not run");
                return "taken up";
            }
            assert!(exec.ends_within(SOON), "{what}: the exec lives on and nobody knows of it");
            assert!(yard.is_set_aside(log, &format!("{id}/e1")), "{what}: the log says nothing of the exec");
            assert_eq!(exits(&stored(), id, "e1"), [KILLED], "{what}");
            "exec aside"
        }
    }
}

#[test]
fn each_record_of_a_running_container_in_each_way() {
    let mut random = Random::new(7);
    let wanted = wanted(&mut random);
    let mut yard = Yard::open();
    let leaks = Leaks::snapshot(yard.daemon.scratch());
    let neighbours = [("state.json", Newer); 2];
    let mut all = yard.start(&[&wanted[..], &neighbours[..]].concat());
    let good = all.split_off(wanted.len());
    let victims = all;
    yard.daemon.kill_hard();
    victims.iter().for_each(|victim| yard.damage(victim));
    let links: Vec<_> = victims
        .iter()
        .filter(|victim| victim.damage == Link)
        .map(|victim| yard.behind_link(victim))
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    let before = yard.daemon.log().len();
    yard.daemon.restart();

    let api = Api::connect(&yard.daemon);
    let log = yard.daemon.log()[before..].to_owned();
    let running: BTreeMap<String, Vec<String>> = api
        .state("")
        .unwrap()
        .into_iter()
        .map(|found| (found.id, found.processes.into_iter().map(|process| process.pid).collect()))
        .collect();
    let mut table = Table::default();
    for victim in &victims {
        let outcome = outcome(&yard, &api, &log, &running, victim);
        table.count(victim.record, victim.damage.name(), outcome);
    }
    println!("{table}");
    // What was taken up is really held: it can be signalled, and tells its own status.
    let mut events = api.events();
    let up: Vec<_> = victims.iter().filter(|victim| running.contains_key(&victim.id)).collect();
    for victim in &up {
        api.signal(&victim.id, "init", 15)
            .unwrap_or_else(|error| panic!("{} {:?}: {error}", victim.record, victim.damage));
    }
    for victim in &up {
        assert!(victim.init.ends_within(SOON), "{} {:?}", victim.record, victim.damage);
    }
    let mut left: BTreeMap<&str, &Victim> = up.iter().map(|victim| (victim.id.as_str(), *victim)).collect();
    while !left.is_empty() {
        let (id, status) = events.next_exit();
        if let Some(victim) = left.remove(id.as_str()) {
            let expected = status == TRUE_STATUS || victim.record == "init/exitStatus";
            assert!(expected, "{} {:?}: {status}", victim.record, victim.damage);
        }
    }
    good.iter().for_each(|victim| yard.works(&api, victim));
    let stored = api.stored_events(None);
    assert_starts_and_exits_match(&stored);
    for victim in &victims {
        assert_eq!(exits(&stored, &victim.id, "init").len(), 1, "{} {:?}", victim.record, victim.damage);
        if victim.exec.is_some() {
            assert_eq!(exits(&stored, &victim.id, "e1").len(), 1, "{} {:?}", victim.record, victim.damage);
        }
    }
    for (content, path) in links {
        assert_eq!(fs::read(&path).unwrap(), content, "{} was written to through a link", path.display());
    }
    assert!(
        table.outcomes("taken up") > table.outcomes("set aside"),
        "most containers survive their records"
    );
    fs::remove_dir_all(yard.daemon.state_dir().join("@set-aside")).unwrap();
    // The runtime's own record is what its delete goes by: without it the runtime's folder is left for a person.
    for victim in victims.iter().filter(|victim| victim.record.starts_with("runtime/")) {
        let _ = fs::remove_dir_all(yard.daemon.runtime_root().join(&victim.id));
    }
    drop((events, api));
    yard::remove_cgroups_of(&yard, &victims, "runtime/");
    leaks.assert_clean();
}

#[test]
fn a_pid_that_is_anothers_is_never_signalled() {
    let mut yard = Yard::open();
    let mut innocents: Vec<_> =
        (0..4).map(|_| Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()).collect();
    let victims =
        yard.start(&[("init/pid", Empty), ("init/pid", Empty), ("init/pid", Empty), ("e1/pid", Empty)]);
    yard.daemon.kill_hard();
    let start_time = |pid: u32| gantry_testkit::Process::of(i32::try_from(pid).unwrap()).unwrap().start_time;
    for (number, (victim, innocent)) in victims.iter().zip(&innocents).enumerate() {
        let pid = yard.record(victim);
        fs::write(&pid, innocent.id().to_string()).unwrap();
        match number {
            0 => fs::remove_file(pid.with_file_name("starttime")).unwrap(),
            1 => fs::write(pid.with_file_name("starttime"), start_time(innocent.id()).to_string()).unwrap(),
            // Nobody can vouch for it, and nothing says when it started.
            2 => {
                fs::remove_file(pid.with_file_name("starttime")).unwrap();
                let shim = shim_of(&victim.init);
                shim.signal(rustix::process::Signal::KILL);
                assert!(shim.ends_within(SOON));
            }
            _ => {}
        }
    }
    // Nor does what was told of their start help them all: the log is gone as well.
    fs::remove_file(yard.daemon.state_dir().join("events.log")).unwrap();
    yard.daemon.restart();
    let api = Api::connect(&yard.daemon);
    for victim in &victims {
        let process = if victim.exec.is_some() { "e1" } else { "init" };
        // Whatever it is taken for, a signal for it does not reach the stranger.
        let _ = api.signal(&victim.id, process, SIGKILL);
        let _ = api.signal(&victim.id, "init", SIGKILL);
    }
    for victim in &victims[..1] {
        assert!(victim.init.ends_within(SOON), "its shim says who it is");
    }
    for innocent in &mut innocents {
        let lives = innocent.try_wait().unwrap().is_none();
        innocent.kill().unwrap();
        innocent.wait().unwrap();
        assert!(lives, "an innocent process has been killed");
    }
}
