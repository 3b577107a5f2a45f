//! Damage to the records of containers that ended while no daemon was there: copies of one that did, hundreds of them, so
//! that each byte can have its turn in one start of the daemon.

use super::Damage;
use super::Damage::{Cut, Empty, Fifo, Flip, Folder, Link, Missing, Newer, Says, Socket};
use super::table::Table;
use super::yard::{TRUE_STATUS, Yard, end, exits};
use crate::support::{Api, SOON, UNKNOWN, assert_starts_and_exits_match};
use gantry_api::types::Event;
use gantry_testkit::wait_until;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const ALL: [Damage; 7] = [Empty, Missing, Folder, Link, Fifo, Socket, Newer];

/// The folder of a container that has ended, and the line of its start in the log.
struct Original {
    folder: PathBuf,
    id: String,
    line: String,
}

/// A copy with one damage.
struct Copy {
    id: String,
    record: &'static str,
    damage: Damage,
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&path, &target);
        } else if kind.is_file() {
            fs::copy(&path, &target).unwrap();
        } else {
            drop(gantry_testkit::Fifo::create(target));
        }
    }
}

impl Original {
    /// Makes one; the daemon is gone then.
    fn make(yard: &mut Yard) -> Self {
        let victim = yard.start(&[("state.json", Newer)]).remove(0);
        yard.daemon.kill_hard();
        end(&victim);
        let state = yard.daemon.state_dir();
        let folder = yard.daemon.scratch().path().join("original");
        wait_until("the shim has done all that it does", SOON, || {
            state.join(&victim.id).join("init/deleted").exists()
        });
        copy_folder(&state.join(&victim.id), &folder);
        fs::remove_dir_all(state.join(&victim.id)).unwrap();
        let log = fs::read_to_string(state.join("events.log")).unwrap();
        fs::write(state.join("events.log"), b"").unwrap();
        let line = log.lines().find(|line| line.contains("start-container")).unwrap().to_owned();
        assert!(line.contains(&victim.id) && line.contains("systemPid"));
        Self { folder, id: victim.id, line }
    }

    fn length(&self, record: &str) -> usize {
        fs::read(self.folder.join(record)).unwrap().len()
    }

    /// Every place of a record, or so many of them if it is long.
    fn places(&self, record: &str, most: usize) -> impl Iterator<Item = usize> {
        let length = self.length(record);
        let step = length.div_ceil(most).max(1);
        (0..length).step_by(step)
    }

    fn wanted(&self) -> Vec<(&'static str, Damage)> {
        let mut wanted = Vec::new();
        for record in ["state.json", "init/process.json", "init/pid", "init/starttime", "init/exitStatus"] {
            wanted.extend(ALL.map(|damage| (record, damage)));
            // Each byte; what is long is the OCI process, of which some bytes are like others.
            wanted.extend(self.places(record, 250).map(|place| (record, Cut(place))));
            wanted.extend(self.places(record, 100).map(|place| (record, Flip(place))));
        }
        for record in
            ["init/exit", "init/control", "init/usage", "init/deleted", "init/shim-log.json", "init/starting"]
        {
            wanted.extend(ALL.map(|damage| (record, damage)));
        }
        for text in ["-1", "256", "9999999999999999999999", "42 43", "forty-two", "0x2a", "4\u{0}2"] {
            wanted.push(("init/exitStatus", Says(text)));
        }
        wanted
    }

    /// Puts a copy into a folder, and its start into the log.
    fn put(&self, home: &Path, log: &mut fs::File, id: &str) {
        copy_folder(&self.folder, &home.join(id));
        writeln!(log, "{}", self.line.replace(&self.id, id)).unwrap();
    }
}

fn log_of(yard: &Yard) -> fs::File {
    fs::File::options().append(true).open(yard.daemon.state_dir().join("events.log")).unwrap()
}

/// What was told of a container that had ended: once, and the truth or that nobody knows.
fn told(events: &[Event], copy: &Copy) -> &'static str {
    let Copy { id, record, damage } = copy;
    let told = exits(events, id, "init");
    assert_eq!(told.len(), 1, "{record} {damage:?}: {told:?}");
    // A digit that is another digit, or is not there any more, cannot be told from one that was written.
    let may_lie = *record == "init/exitStatus" && matches!(damage, Cut(_) | Flip(_));
    match told[0] {
        TRUE_STATUS => "true",
        UNKNOWN => "unknown",
        other => {
            assert!(may_lie, "{record} {damage:?}: {other} was invented");
            "another"
        }
    }
}

#[test]
fn each_byte_of_each_record_of_a_container_that_has_ended() {
    let mut yard = Yard::open();
    let original = Original::make(&mut yard);
    let state = yard.daemon.state_dir();
    let mut log = log_of(&yard);
    let mut copies = Vec::new();
    for (number, (record, damage)) in original.wanted().into_iter().enumerate() {
        let id = format!("{}-ended-{number}", original.id);
        original.put(&state, &mut log, &id);
        damage.to(
            &state.join(&id).join(record),
            &yard.daemon.scratch().path().join(format!("behind-{number}")),
        );
        copies.push(Copy { id, record, damage });
    }
    drop(log);
    yard.daemon.restart();

    let api = Api::connect(&yard.daemon);
    let mut seen = Vec::new();
    let all_told = |seen: &mut Vec<Event>| {
        *seen = api.stored_events(None);
        seen.iter().filter(|event| event.r#type == "exit").count() >= copies.len()
    };
    wait_until("each exit is told", SOON, || all_told(&mut seen));
    assert_starts_and_exits_match(&seen);
    let log = yard.daemon.log();
    let mut table = Table::default();
    let set_aside = |copy: &Copy| yard.is_set_aside(&log, &copy.id);
    for copy in &copies {
        let status = told(&seen, copy);
        assert!(
            state.join(&copy.id).symlink_metadata().is_err(),
            "{} {:?}: it is still there",
            copy.record,
            copy.damage
        );
        let outcome = match (status, set_aside(copy)) {
            ("true", false) => "true",
            ("true", true) => "true, aside",
            ("unknown", false) => "unknown",
            ("unknown", true) => "unknown, aside",
            _ => "another",
        };
        table.count(copy.record, copy.damage.name(), outcome);
    }
    println!("{table}");
    assert!(table.outcomes("true") > 0 && table.outcomes("true, aside") > 0 && table.outcomes("unknown") > 0);
    let kept = fs::read_dir(state.join("@set-aside")).unwrap().count();
    assert_eq!(
        kept,
        table.outcomes("true, aside") + table.outcomes("unknown, aside"),
        "each is kept, and nothing else"
    );
    let fresh = yard.start(&[("state.json", Newer)]);
    yard.works(&api, &fresh[0]);
}

#[test]
fn a_report_that_was_interrupted_is_finished_whatever_has_become_of_its_records() {
    let mut yard = Yard::open();
    let original = Original::make(&mut yard);
    let graves = yard.daemon.state_dir().join("@ended");
    let mut log = log_of(&yard);
    let mut copies = Vec::new();
    let records =
        ["state.json", "init/process.json", "init/pid", "init/starttime", "init/exitStatus", "init/starting"];
    let damages = records.iter().flat_map(|record| ALL.map(|damage| (*record, damage)));
    for (number, (record, damage)) in damages.enumerate() {
        let (id, grave) = (format!("{}-buried-{number}", original.id), graves.join(format!("1-{number}")));
        original.put(&grave, &mut log, &id);
        damage.to(
            &grave.join(&id).join(record),
            &yard.daemon.scratch().path().join(format!("behind-{number}")),
        );
        copies.push(Copy { id, record, damage });
    }
    drop(log);
    // What is no tombstone harms none.
    drop(gantry_testkit::Fifo::create(graves.join("1-fifo")));
    fs::write(graves.join("1-file"), b"").unwrap();
    yard.daemon.restart();
    let api = Api::connect(&yard.daemon);
    let stored = api.stored_events(None);
    assert_starts_and_exits_match(&stored);
    let mut table = Table::default();
    for copy in &copies {
        let outcome = told(&stored, copy);
        table.count(copy.record, copy.damage.name(), outcome);
    }
    println!("{table}");
    // Those that nobody can be told of stay; the others go behind the daemon's back.
    let left = || fs::read_dir(&graves).unwrap().count();
    wait_until("what was told is removed", SOON, || left() == 2);
}
