//! Which point is reached by doing what.

use super::judge::Outcome;
use super::scenario::Scenario;
use super::world::Mode;
use gantry_record::failpoint::{Kind, points};

/// A point, reached in one way.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) point: String,
    pub(super) kind: Kind,
    pub(super) scenario: Scenario,
    /// What must have become of it after a kill, where that is no matter of chance.
    pub(super) expected: Option<Outcome>,
}

/// Points that no row reaches, and why.
pub(super) const LEFT_OUT: &[(&str, &str)] = &[];

/// Operations without which a daemon does not start.
pub(super) const NEEDED_AT_ONCE: &[&str] = &["daemon::open::lock-open", "daemon::record::ended.log::read"];

/// Points that are passed so late that nothing comes to harm.
pub(super) const DELAYED: &[&str] = &[
    "daemon::init::created",
    "daemon::init::buried",
    "daemon::event-log::sync",
    "shim::status-told",
    "shim::process-there",
    "runtime::init::mounted",
    "runtime::create::record-saved",
    "runtime::start::notified",
];

/// The table.
pub(super) fn rows() -> Vec<Row> {
    let all = points();
    let row = |scenario: Scenario, point: &str| {
        let known = all.iter().find(|known| known.name == point);
        let kind = known.unwrap_or_else(|| panic!("{point} is no point")).kind;
        Row { point: point.to_owned(), kind, scenario, expected: expected(scenario, point) }
    };
    TABLE.iter().flat_map(|(scenario, names)| names.iter().map(move |name| row(*scenario, name))).collect()
}

impl Row {
    /// Whether it is this process that comes to the point.
    pub(super) fn is_about(&self, process: &str) -> bool {
        self.point.split("::").next() == Some(process)
    }

    pub(super) fn mode(&self) -> Mode {
        self.scenario.mode()
    }

    /// Whether the next start of the daemon makes good what failed.
    pub(super) fn is_mended_by_a_restart(&self) -> bool {
        self.point == "daemon::tombstone::remove"
    }

    /// Whether the status is written down already.
    pub(super) fn is_after_status(&self) -> bool {
        let after = AFTER_STATUS.iter().any(|part| self.point.starts_with(part));
        after && self.scenario != Scenario::ExitUntold
    }
}

/// What a shim comes to when it has written the status down.
const AFTER_STATUS: &[&str] = &[
    "shim::record::exitStatus::renamed",
    "shim::record::deleted",
    "shim::status-told",
    "shim::rest-killed",
    "shim::drained",
    "shim::logs-finished",
    "shim::orphans-reaped",
    "shim::start-over",
    "shim::command-spawned",
    "shim::deleted",
    "shim::folder-left",
    "shim::exit-closed",
];

/// Until a start is in the log nobody can have been told of it.
fn expected(scenario: Scenario, point: &str) -> Option<Outcome> {
    const TOLD: &[&str] = &["start-logged", "started", "exit-watched", "answered"];
    let step = point.strip_prefix("daemon::")?;
    let step = step.strip_prefix("init::").or_else(|| step.strip_prefix("exec::"))?;
    match scenario {
        Scenario::Start if TOLD.contains(&step) => Some(Outcome::Works),
        Scenario::Start => Some(Outcome::Gone),
        Scenario::Exec if TOLD.contains(&step) => Some(Outcome::Works),
        Scenario::Exec => Some(Outcome::WorksAlone),
        Scenario::Exit | Scenario::RestartEnded => Some(Outcome::Ended(7)),
        Scenario::ExecExit => Some(Outcome::ExecEnded(7)),
        _ => None,
    }
}

use Scenario::*;

#[rustfmt::skip]
const TABLE: &[(Scenario, &[&str])] = &[
    (Start, &[
        "daemon::folder::make", "daemon::container::folder-made", "daemon::process::folder-made",
        "daemon::process::exit-fifo", "daemon::process::exit-fifo-made", "daemon::start::open-fifos",
        "daemon::shim::fork", "daemon::runtime::run", "daemon::process::starting-remove",
        "daemon::event-log::write", "daemon::event-log::written", "daemon::event-log::sync",
        "daemon::event-log::synced", "daemon::init::folder", "daemon::init::recorded", "daemon::init::fifos-opened",
        "daemon::init::spawned", "daemon::init::created", "daemon::init::pid-read", "daemon::init::identified",
        "daemon::init::watched", "daemon::init::running", "daemon::init::start-logged", "daemon::init::started",
        "daemon::init::exit-watched", "daemon::init::answered", "daemon::record::state.json::open",
        "daemon::record::state.json::write", "daemon::record::state.json::rename",
        "daemon::record::state.json::renamed", "daemon::record::starting::open", "daemon::record::starting::write",
        "daemon::record::starting::rename", "daemon::record::starting::renamed",
        "daemon::record::process.json::open", "daemon::record::process.json::write",
        "daemon::record::process.json::rename", "daemon::record::process.json::renamed",
        "daemon::record::starttime::open", "daemon::record::starttime::write", "daemon::record::starttime::rename",
        "daemon::record::starttime::renamed", "shim::begun", "shim::hello-said", "shim::log-opened",
        "shim::open-exit", "shim::exit-opened", "shim::control-opened", "shim::record-read", "shim::subreaper",
        "shim::logger-made", "shim::open-streams", "shim::streams-opened", "shim::run-runtime",
        "shim::runtime-spawned", "shim::runtime-ended", "shim::met", "shim::process-there", "shim::obedient",
        "shim::ready-said", "shim::cgroup-found", "shim::oom-score-set", "shim::hardened", "runtime::begun",
        "runtime::resident::asked", "runtime::resident::fork", "runtime::resident::shim-forked",
        "runtime::resident::shim-named", "runtime::resident::shim-told", "runtime::resident::command-forked",
        "runtime::resident::command-begun", "runtime::resident::command-told", "runtime::claim::make",
        "runtime::create::claimed", "runtime::config::write", "runtime::create::config-saved",
        "runtime::cgroup::make", "runtime::create::cgroup-made", "runtime::create::limited",
        "runtime::launch::socket-made", "runtime::launch::report-opened", "runtime::launch::prepared",
        "runtime::launch::cloned", "runtime::launch::identified", "runtime::launch::ready",
        "runtime::create::launched", "runtime::create::terminal-sent", "runtime::record::write",
        "runtime::record::rename", "runtime::create::record-saved", "runtime::pid-file::create",
        "runtime::pid-file::rename", "runtime::create::done", "runtime::child::cloned", "runtime::cgroup::join",
        "runtime::child::cgroup-joined", "runtime::child::limited", "runtime::child::entered",
        "runtime::init::namespaces", "runtime::init::root-prepared", "runtime::init::mounted",
        "runtime::init::devices", "runtime::init::hooks-run", "runtime::init::pivoted",
        "runtime::init::parameters-set", "runtime::init::masked", "runtime::child::built",
        "runtime::start::report-opened", "runtime::start::notified", "runtime::start::socket-removed",
        "runtime::start::record-saved", "runtime::start::running", "daemon::record::pid::read",
        "shim::record::process.json::read", "shim::record::pid::read",
    ]),
    (StartTerminal, &[
        "shim::client-opened", "shim::console-ready", "shim::terminal-came",
    ]),
    (Exec, &[
        "daemon::exec::recorded", "daemon::exec::fifos-opened", "daemon::exec::spawned", "daemon::exec::created",
        "daemon::exec::pid-read", "daemon::exec::identified", "daemon::exec::running", "daemon::exec::start-logged",
        "daemon::exec::started", "daemon::exec::exit-watched", "daemon::exec::answered", "runtime::exec::prepared",
        "runtime::exec::launched", "runtime::exec::running", "runtime::exec::done", "shim::begun",
        "shim::hello-said", "shim::log-opened", "shim::open-exit", "shim::exit-opened", "shim::control-opened",
        "shim::record-read", "shim::subreaper", "shim::logger-made", "shim::open-streams", "shim::streams-opened",
        "shim::run-runtime", "shim::runtime-spawned", "shim::runtime-ended", "shim::met", "shim::process-there",
        "shim::obedient", "shim::ready-said", "shim::cgroup-found", "shim::oom-score-set", "shim::hardened",
    ]),
    (Exit, &[
        "daemon::init::hung-up", "daemon::init::ended", "daemon::init::deleted", "daemon::init::unlisted",
        "daemon::init::buried", "daemon::init::exit-logged", "daemon::init::told", "daemon::init::forgotten",
        "daemon::signal::send", "daemon::ended-log::open", "daemon::ended-log::write", "daemon::ended-log::written",
        "daemon::tombstone::made", "daemon::tombstone::rename", "daemon::tombstone::tell",
        "daemon::tombstone::remove", "daemon::tombstone::removed", "shim::exit-seen", "shim::usage-noted",
        "shim::status-told", "shim::drained", "shim::logs-finished", "shim::orphans-reaped", "shim::start-over",
        "shim::command-spawned", "shim::deleted", "shim::folder-left", "shim::exit-closed",
        "shim::record::usage::open", "shim::record::usage::write", "shim::record::usage::rename",
        "shim::record::usage::renamed", "shim::record::exitStatus::open", "shim::record::exitStatus::write",
        "shim::record::exitStatus::rename", "shim::record::exitStatus::renamed", "shim::record::deleted::open",
        "shim::record::deleted::write", "shim::record::deleted::rename", "shim::record::deleted::renamed",
        "runtime::delete::stopped", "runtime::delete::cgroup-removed", "runtime::delete::folder-removed",
        "runtime::cgroup::remove", "daemon::record::exitStatus::read", "daemon::record::usage::read",
    ]),
    (ExitOfMany, &[
        "shim::rest-killed", "runtime::kill::found", "runtime::kill::frozen", "runtime::kill::sent",
        "runtime::delete::rest-killed",
    ]),
    (ExecExit, &[
        "daemon::exec::hung-up", "daemon::exec::ended", "daemon::exec::buried", "daemon::exec::exit-logged",
        "daemon::exec::told", "daemon::exec::forgotten", "shim::exit-seen", "shim::usage-noted",
        "shim::status-told", "shim::drained", "shim::logs-finished", "shim::orphans-reaped", "shim::start-over",
        "shim::folder-left", "shim::exit-closed", "shim::record::exitStatus::open",
        "shim::record::exitStatus::write", "shim::record::exitStatus::rename", "shim::record::exitStatus::renamed",
    ]),
    (FailedStart, &[
        "daemon::init::undo-shim-killed", "daemon::init::undo-killed", "daemon::init::undo-deleted",
        "daemon::init::undo-unlisted", "daemon::process::pid-removed", "daemon::container::processes-removed",
        "shim::clean-up",
    ]),
    (FailedExec, &[
        "daemon::exec::undo-shim-killed", "daemon::exec::undo-killed", "daemon::exec::undo-deleted",
    ]),
    (HalfCreated, &[
        "runtime::clear::killed", "runtime::clear::cgroup-removed",
    ]),
    (Pause, &[
        "daemon::pause::done", "runtime::pause::found", "runtime::pause::frozen",
    ]),
    (Resume, &[
        "runtime::resume::found", "runtime::resume::thawed",
    ]),
    (Update, &[
        "daemon::update::done", "runtime::update::read", "runtime::update::limited",
    ]),
    (CloseStdin, &[
        "daemon::control::write", "daemon::record::stdin-closed::open", "daemon::record::stdin-closed::write",
        "daemon::record::stdin-closed::rename", "daemon::record::stdin-closed::renamed",
    ]),
    (Logging, &[
        "shim::log::open", "shim::log::room-made", "shim::log::journaled", "shim::log::append",
        "shim::log::appended", "shim::log::taken", "shim::log::set-aside", "shim::log::rename",
        "shim::log::is-aside",
    ]),
    (ShimDeath, &[
        "daemon::init::orphan-killed", "daemon::init::status-found", "daemon::init::status-recorded",
        "daemon::record::exitStatus::open", "daemon::record::exitStatus::write",
        "daemon::record::exitStatus::rename", "daemon::record::exitStatus::renamed",
    ]),
    (ExecShimDeath, &[
        "daemon::exec::orphan-killed", "daemon::exec::status-found", "daemon::exec::status-recorded",
    ]),
    (AdoptedInit, &[
        "daemon::init::successor-spawned", "daemon::init::adopted", "daemon::shim::spawn", "shim::adopt::found",
        "shim::adopt::logger", "shim::adopt::streams", "shim::record::starttime::read",
        "shim::record::exitStatus::read",
    ]),
    (AdoptedExec, &[
        "daemon::exec::successor-spawned", "daemon::exec::adopted",
    ]),
    (AdoptedExit, &[
        "shim::exit-seen", "shim::usage-noted", "shim::status-told", "shim::drained", "shim::logs-finished",
        "shim::orphans-reaped", "shim::start-over", "shim::deleted", "shim::folder-left", "shim::exit-closed",
    ]),
    (AdoptedExecExit, &[
        "shim::exit-seen", "shim::usage-noted", "shim::status-told", "shim::drained", "shim::logs-finished",
        "shim::orphans-reaped", "shim::start-over", "shim::folder-left", "shim::exit-closed",
        "shim::record::exitStatus::open", "shim::record::exitStatus::write", "shim::record::exitStatus::rename",
        "shim::record::exitStatus::renamed",
    ]),
    (ForcedAway, &[
        "runtime::delete::all-killed", "runtime::delete::stopped", "runtime::delete::cgroup-removed",
        "runtime::delete::folder-removed",
    ]),
    (Upgrade, &[
        "daemon::handover::marked", "daemon::handover::asked", "daemon::record::handover::open",
        "daemon::record::handover::write", "daemon::record::handover::rename", "daemon::record::handover::renamed",
        "shim::hands-over",
    ]),
    (LongLog, &[
        "daemon::event-log::rewrite-open", "daemon::event-log::rewrite-write", "daemon::event-log::rewrite-sync",
        "daemon::event-log::rewrite-rename", "daemon::event-log::rewrite-renamed",
    ]),
    (Restart, &[
        "daemon::open::begun", "daemon::open::lock-open", "daemon::open::locked", "daemon::open::listening",
        "daemon::open::state-dir-made", "daemon::open::event-log-read", "daemon::open::ready",
        "daemon::restore::tombstones-finished", "daemon::restore::listed", "daemon::restore::loaded",
        "daemon::restore::looked-at", "daemon::restore::enlisted", "daemon::restore::done",
        "daemon::init::restore-found", "daemon::init::restore-marked", "daemon::init::restore-opened",
        "daemon::exec::restore-found", "daemon::exec::restore-marked", "daemon::exec::restore-opened",
        "runtime::resident::begun", "runtime::resident::greeted", "daemon::record::state.json::read",
        "daemon::record::process.json::read", "daemon::record::starttime::read", "daemon::record::ended.log::read",
        "daemon::record::pid::read", "daemon::container::list", "daemon::restore::list",
    ]),
    (RestartHalfStarted, &[
        "daemon::init::restore-undoing", "daemon::init::restore-shims-killed", "daemon::init::undo-killed",
        "daemon::init::undo-deleted", "daemon::restore::never-started-deleted",
    ]),
    (RestartHalfExec, &[
        "daemon::exec::restore-undoing", "daemon::exec::restore-shims-killed", "daemon::exec::undo-killed",
        "daemon::exec::undo-deleted",
    ]),
    (RestartUntold, &[
        "daemon::restore::tombstone-found", "daemon::restore::tombstone-logged",
    ]),
    (RestartEnded, &[
        "daemon::init::hung-up", "daemon::init::ended", "daemon::init::deleted", "daemon::init::unlisted",
        "daemon::init::buried", "daemon::init::exit-logged", "daemon::init::told", "daemon::init::forgotten",
        "daemon::exec::hung-up", "daemon::exec::ended", "daemon::exec::buried", "daemon::exec::exit-logged",
        "daemon::exec::told", "daemon::exec::forgotten",
    ]),
    (ExitUntold, &[
        "shim::status-untold",
    ]),
];
