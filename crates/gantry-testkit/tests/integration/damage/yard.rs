//! A daemon with many small containers, and what may be expected of each of them afterwards.

use super::Damage;
use crate::support::{Api, SOON, create_request, exec_request, host_process};
use gantry_api::types::{CreateContainerRequest, Event};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Process, Runtime, wait_until};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What a container ends with when it is asked to.
pub(super) const TRUE_STATUS: u32 = 42;
/// How many clients start containers beside each other.
const CLIENTS: usize = 4;

/// The daemon, and one root for all containers.
pub(super) struct Yard {
    pub(super) daemon: Daemon,
    shared: Bundle,
    next: AtomicUsize,
}

/// One container.
pub(super) struct Victim {
    pub(super) id: String,
    /// Relative to the folder of state dir and runtime's records.
    pub(super) record: &'static str,
    pub(super) damage: Damage,
    pub(super) init: Process,
    /// Where there is to be one.
    pub(super) exec: Option<Process>,
}

impl Yard {
    pub(super) fn open() -> Self {
        // All events are kept: what was told of so many starts would be forgotten else.
        let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn).arg("--retain-count=-1"));
        // It has traps: it ends with its own status when it is asked to.
        let script = format!("trap 'exit {TRUE_STATUS}' TERM; sleep 10000 & wait");
        let shared = daemon.bundle().shell(&script).build();
        Self { daemon, shared, next: AtomicUsize::new(0) }
    }

    /// A bundle of its own for a container, with the common root.
    fn request(&self, number: usize) -> CreateContainerRequest {
        let path = self.daemon.scratch().path().join(format!("yard-{number}"));
        fs::create_dir(&path).unwrap();
        let mut config = self.shared.config().clone();
        config["root"]["path"] = json!(self.shared.rootfs());
        let cgroup = self.shared.config()["linux"]["cgroupsPath"].as_str().unwrap();
        config["linux"]["cgroupsPath"] = json!(format!("{cgroup}-{number}"));
        fs::write(path.join("config.json"), config.to_string()).unwrap();
        CreateContainerRequest {
            id: format!("{}-{number}", self.shared.id()),
            bundle_path: path.to_str().unwrap().to_owned(),
            ..create_request(&self.shared)
        }
    }

    /// Starts a container for each of them; those whose record is an exec's have one.
    pub(super) fn start(&self, wanted: &[(&'static str, Damage)]) -> Vec<Victim> {
        let number = || self.next.fetch_add(1, Ordering::Relaxed);
        let numbered: Vec<_> = wanted.iter().map(|wanted| (number(), *wanted)).collect();
        let share = numbered.len().div_ceil(CLIENTS).max(1);
        thread::scope(|scope| {
            let clients: Vec<_> = numbered
                .chunks(share)
                .map(|share| {
                    scope.spawn(move || {
                        let api = Api::connect(&self.daemon);
                        let start = |(number, (record, damage)): &(usize, (&'static str, Damage))| {
                            let request = self.request(*number);
                            let id = request.id.clone();
                            let init = host_process(api.create(request).unwrap().processes[0].system_pid);
                            wait_until("it has set its trap", SOON, || listens(&init));
                            let exec = record.starts_with("e1/").then(|| {
                                let exec = exec_request(&id, "e1", &["sleep", "10000"]);
                                host_process(api.add_process(exec).unwrap())
                            });
                            Victim { id, record, damage: *damage, init, exec }
                        };
                        share.iter().map(start).collect::<Vec<_>>()
                    })
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }

    /// Where a victim's record is.
    pub(super) fn record(&self, victim: &Victim) -> PathBuf {
        match victim.record.strip_prefix("runtime/") {
            Some(name) => self.daemon.runtime_root().join(&victim.id).join(name),
            None => self.daemon.state_dir().join(&victim.id).join(victim.record),
        }
    }

    /// What a link leads to that is in a victim's record's place.
    pub(super) fn behind_link(&self, victim: &Victim) -> PathBuf {
        self.daemon.scratch().path().join(format!("precious-{}", victim.id))
    }

    pub(super) fn damage(&self, victim: &Victim) {
        victim.damage.to(&self.record(victim), &self.behind_link(victim));
    }

    /// Whether the newest daemon's log names the folder of a container, or of its exec, as set aside.
    pub(super) fn is_set_aside(&self, log: &str, folder: &str) -> bool {
        let folder = format!("folder={} ", self.daemon.state_dir().join(folder).display());
        log.lines()
            .any(|line| line.contains("is set aside") && line.contains(&folder) && line.contains("kept_in="))
    }

    /// A container that nobody has touched does all that it should, to its end.
    pub(super) fn works(&self, api: &Api, victim: &Victim) {
        let id = victim.id.as_str();
        assert_eq!(api.find(id).map(|found| found.0).as_deref(), Some("running"), "{id}");
        let mut events = api.events();
        api.add_process(exec_request(id, "after", &["sh", "-c", "exit 5"])).unwrap();
        assert_eq!(events.exit_of(id, "after"), 5);
        api.signal(id, "init", 15).unwrap();
        assert_eq!(events.exit_of(id, "init"), TRUE_STATUS);
        assert!(victim.init.ends_within(SOON));
    }
}

/// Whether it has set its trap: before that, as the first of its pid namespace, it would not even notice to be asked to end
/// (`pid_namespaces(7)`).
fn listens(init: &Process) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", init.pid)).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
}

/// Asks a container's init to end, not by way of the daemon.
pub(super) fn end(victim: &Victim) {
    victim.init.signal(Signal::TERM);
}

/// The statuses that were told of a process's end: there must be one.
pub(super) fn exits(events: &[Event], id: &str, process: &str) -> Vec<u32> {
    let is_meant = |event: &&Event| event.r#type == "exit" && event.id == id && event.pid == process;
    events.iter().filter(is_meant).map(|event| event.status).collect()
}

/// Removes the cgroups of containers whose runtime cannot, because its own record is damaged.
pub(super) fn remove_cgroups_of(yard: &Yard, victims: &[Victim], records: &str) {
    let numbers = victims.iter().filter(|victim| victim.record.starts_with(records));
    let suffixes: Vec<_> = numbers.map(|victim| &victim.id[victim.id.rfind('-').unwrap()..]).collect();
    for folder in yard.daemon.scratch().cgroup_folders().iter().rev() {
        if suffixes.iter().any(|suffix| folder.to_string_lossy().ends_with(*suffix)) {
            // Some of them the runtime has removed.
            let _ = fs::remove_dir(folder);
        }
    }
}
