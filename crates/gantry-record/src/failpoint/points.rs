//! The table of all points. The tests go through it, and insist that the programs' source has these and no others.

/// What can happen at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is between two steps: the process can end there, or wait.
    Step,
    /// An operation is about to happen, which can fail too.
    Io,
}

/// A point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name. What comes before the first `::` is the process: `daemon`, `shim` or `runtime`.
    pub name: String,
    /// What can happen there.
    pub kind: Kind,
}

/// All points.
#[must_use]
pub fn points() -> Vec<Point> {
    let point = |name: String, kind| Point { name, kind };
    let steps = STEPS.iter().map(|name| point((*name).to_owned(), Kind::Step));
    let operations = OPERATIONS.iter().map(|name| point((*name).to_owned(), Kind::Io));
    let of_both = LIFE.iter().flat_map(|name| ["init", "exec"].map(|id| (id, name)));
    let life = of_both.chain(LIFE_OF_INIT.iter().map(|name| ("init", name)));
    let life = life.map(|(id, name)| point(format!("daemon::{id}::{name}"), Kind::Step));
    let records = RECORDS.iter().flat_map(|(process, file)| {
        let steps = [("open", Kind::Io), ("write", Kind::Io), ("rename", Kind::Io), ("renamed", Kind::Step)];
        steps.map(|(step, kind)| point(format!("{process}::record::{file}::{step}"), kind))
    });
    let reads =
        READS.iter().map(|(process, file)| point(format!("{process}::record::{file}::read"), Kind::Io));
    steps.chain(operations).chain(life).chain(records).chain(reads).collect()
}

/// Records by the process that writes them ([`super::record`]).
const RECORDS: &[(&str, &str)] = &[
    ("daemon", "state.json"),
    ("daemon", "starting"),
    ("daemon", "process.json"),
    ("daemon", "starttime"),
    ("daemon", "exitStatus"),
    ("daemon", "stdin-closed"),
    ("daemon", "handover"),
    ("shim", "usage"),
    ("shim", "exitStatus"),
    ("shim", "deleted"),
];

/// Records by a process that reads them.
const READS: &[(&str, &str)] = &[
    ("daemon", "state.json"),
    ("daemon", "process.json"),
    ("daemon", "pid"),
    ("daemon", "starttime"),
    ("daemon", "exitStatus"),
    ("daemon", "usage"),
    ("daemon", "ended.log"),
    ("shim", "process.json"),
    ("shim", "pid"),
    ("shim", "starttime"),
    ("shim", "exitStatus"),
];

/// Points of a process's life that init and execs have alike ([`super::of`]).
const LIFE: &[&str] = &[
    "recorded",
    "fifos-opened",
    "spawned",
    "created",
    "pid-read",
    "identified",
    "running",
    "start-logged",
    "started",
    "exit-watched",
    "answered",
    "hung-up",
    "ended",
    "buried",
    "exit-logged",
    "told",
    "forgotten",
    "undo-shim-killed",
    "undo-killed",
    "undo-deleted",
    "restore-undoing",
    "restore-shims-killed",
    "restore-found",
    "restore-marked",
    "restore-opened",
    "status-found",
    "status-recorded",
    "orphan-killed",
    "successor-spawned",
    "adopted",
];

/// Those that only init has.
const LIFE_OF_INIT: &[&str] = &["folder", "watched", "deleted", "unlisted", "undo-unlisted"];

/// Points between two steps ([`super::at`]).
const STEPS: &[&str] = &[
    "daemon::container::folder-made",
    "daemon::container::processes-removed",
    "daemon::ended-log::written",
    "daemon::event-log::rewrite-renamed",
    "daemon::event-log::synced",
    "daemon::event-log::written",
    "daemon::handover::asked",
    "daemon::handover::marked",
    "daemon::open::begun",
    "daemon::open::event-log-read",
    "daemon::open::listening",
    "daemon::open::locked",
    "daemon::open::ready",
    "daemon::open::state-dir-made",
    "daemon::pause::done",
    "daemon::process::exit-fifo-made",
    "daemon::process::folder-made",
    "daemon::process::pid-removed",
    "daemon::restore::done",
    "daemon::restore::enlisted",
    "daemon::restore::listed",
    "daemon::restore::loaded",
    "daemon::restore::looked-at",
    "daemon::restore::never-started-deleted",
    "daemon::restore::tombstone-found",
    "daemon::restore::tombstone-logged",
    "daemon::restore::tombstones-finished",
    "daemon::tombstone::made",
    "daemon::tombstone::removed",
    "daemon::update::done",
    "runtime::begun",
    "runtime::child::built",
    "runtime::child::cgroup-joined",
    "runtime::child::cloned",
    "runtime::child::entered",
    "runtime::child::limited",
    "runtime::clear::cgroup-removed",
    "runtime::clear::killed",
    "runtime::create::cgroup-made",
    "runtime::create::claimed",
    "runtime::create::config-saved",
    "runtime::create::done",
    "runtime::create::launched",
    "runtime::create::limited",
    "runtime::create::record-saved",
    "runtime::create::terminal-sent",
    "runtime::delete::all-killed",
    "runtime::delete::cgroup-removed",
    "runtime::delete::folder-removed",
    "runtime::delete::rest-killed",
    "runtime::delete::stopped",
    "runtime::exec::done",
    "runtime::exec::launched",
    "runtime::exec::prepared",
    "runtime::exec::running",
    "runtime::init::devices",
    "runtime::init::hooks-run",
    "runtime::init::masked",
    "runtime::init::mounted",
    "runtime::init::namespaces",
    "runtime::init::parameters-set",
    "runtime::init::pivoted",
    "runtime::init::root-prepared",
    "runtime::kill::found",
    "runtime::kill::frozen",
    "runtime::kill::sent",
    "runtime::launch::cloned",
    "runtime::launch::identified",
    "runtime::launch::prepared",
    "runtime::launch::ready",
    "runtime::launch::report-opened",
    "runtime::launch::socket-made",
    "runtime::pause::found",
    "runtime::pause::frozen",
    "runtime::resident::asked",
    "runtime::resident::begun",
    "runtime::resident::command-begun",
    "runtime::resident::command-forked",
    "runtime::resident::command-told",
    "runtime::resident::greeted",
    "runtime::resident::shim-forked",
    "runtime::resident::shim-named",
    "runtime::resident::shim-told",
    "runtime::resume::found",
    "runtime::resume::thawed",
    "runtime::start::notified",
    "runtime::start::record-saved",
    "runtime::start::report-opened",
    "runtime::start::running",
    "runtime::start::socket-removed",
    "runtime::update::limited",
    "runtime::update::read",
    "shim::adopt::found",
    "shim::adopt::logger",
    "shim::adopt::streams",
    "shim::begun",
    "shim::cgroup-found",
    "shim::clean-up",
    "shim::client-opened",
    "shim::command-spawned",
    "shim::console-ready",
    "shim::control-opened",
    "shim::deleted",
    "shim::drained",
    "shim::exit-closed",
    "shim::exit-opened",
    "shim::exit-seen",
    "shim::folder-left",
    "shim::hands-over",
    "shim::hardened",
    "shim::hello-said",
    "shim::log-opened",
    "shim::log::appended",
    "shim::log::is-aside",
    "shim::log::journaled",
    "shim::log::room-made",
    "shim::log::taken",
    "shim::logger-made",
    "shim::logs-finished",
    "shim::met",
    "shim::obedient",
    "shim::oom-score-set",
    "shim::orphans-reaped",
    "shim::process-there",
    "shim::ready-said",
    "shim::record-read",
    "shim::rest-killed",
    "shim::runtime-ended",
    "shim::runtime-spawned",
    "shim::start-over",
    "shim::status-told",
    "shim::status-untold",
    "shim::streams-opened",
    "shim::subreaper",
    "shim::terminal-came",
    "shim::usage-noted",
];

/// Points before an operation that can fail ([`super::io`]).
const OPERATIONS: &[&str] = &[
    "daemon::container::list",
    "daemon::restore::list",
    "daemon::control::write",
    "daemon::ended-log::open",
    "daemon::ended-log::write",
    "daemon::event-log::rewrite-open",
    "daemon::event-log::rewrite-rename",
    "daemon::event-log::rewrite-sync",
    "daemon::event-log::rewrite-write",
    "daemon::event-log::sync",
    "daemon::event-log::write",
    "daemon::folder::make",
    "daemon::open::lock-open",
    "daemon::process::exit-fifo",
    "daemon::process::starting-remove",
    "daemon::runtime::run",
    "daemon::shim::fork",
    "daemon::shim::spawn",
    "daemon::signal::send",
    "daemon::start::open-fifos",
    "daemon::tombstone::remove",
    "daemon::tombstone::rename",
    "daemon::tombstone::tell",
    "runtime::cgroup::join",
    "runtime::cgroup::make",
    "runtime::cgroup::remove",
    "runtime::claim::make",
    "runtime::config::write",
    "runtime::pid-file::create",
    "runtime::pid-file::rename",
    "runtime::record::rename",
    "runtime::record::write",
    "runtime::resident::fork",
    "shim::log::append",
    "shim::log::open",
    "shim::log::rename",
    "shim::log::set-aside",
    "shim::open-exit",
    "shim::open-streams",
    "shim::run-runtime",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The first text in quotes behind each `start`, in all source files of a folder.
    fn quoted_behind(folder: &Path, start: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                quoted_behind(&entry, start, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&entry).unwrap();
                let calls = text.split(start).skip(1).filter_map(|rest| rest.split_once('"'));
                let calls = calls.filter(|(before, _)| !before.contains([';', '{']));
                found.extend(calls.filter_map(|(_, rest)| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }

    #[test]
    fn the_table_and_the_source_agree() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sources = ["record", "container", "supervisor", "daemon", "shim", "runtime"];
        let (mut plain, mut life) = (BTreeSet::new(), BTreeSet::new());
        for source in sources.map(|name| crates.join(format!("gantry-{name}/src"))) {
            // In two pieces, so that this file has none.
            quoted_behind(&source, concat!("failpoint::", "at("), &mut plain);
            quoted_behind(&source, concat!("failpoint::", "io("), &mut plain);
            quoted_behind(&source, concat!("failpoint::", "of("), &mut life);
            quoted_behind(&source, concat!("self.", "done("), &mut life);
            quoted_behind(&source, concat!("attempt.", "done("), &mut life);
        }
        let of_init: BTreeSet<String> =
            plain.iter().filter_map(|name| name.strip_prefix("daemon::init::")).map(str::to_owned).collect();
        plain.retain(|name| !name.starts_with("daemon::init::"));
        life.extend(of_init);
        let all = |lists: &[&[&str]]| -> BTreeSet<String> {
            lists.iter().flat_map(|list| list.iter().map(|name| (*name).to_owned())).collect()
        };
        assert_eq!(plain, all(&[STEPS, OPERATIONS]));
        assert_eq!(life, all(&[LIFE, LIFE_OF_INIT]));
    }

    #[test]
    fn each_name_is_there_once_and_names_a_process() {
        let names: Vec<String> = points().into_iter().map(|point| point.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in names {
            let process = name.split("::").next().unwrap();
            assert!(["daemon", "shim", "runtime"].contains(&process), "{name}");
        }
    }
}
