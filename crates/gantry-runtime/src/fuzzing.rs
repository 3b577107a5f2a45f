//! What fuzz targets do with this program's parsers. Each function takes anything and panics where a promise is broken.
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target says that it has found something")]

use std::path::Path;

use oci_spec::runtime::{LinuxResources, Process, Spec};

use crate::id::ContainerId;
use crate::init::Options;
use crate::signal::SignalNumber;
use crate::store::Record;
use crate::user::UserSpec;
use crate::{bundle, cgroup, legacy, process};

/// A bundle's `config.json`: what passes the checks is normalized for good, and can be kept and read again.
pub fn config(json: &[u8]) {
    let path = Path::new("/b/config.json");
    let mut spec = match bundle::parse(path, json) {
        Ok(spec) => spec,
        Err(error) => {
            assert!(error.to_string().contains("/b/config.json"), "{error}");
            return;
        }
    };
    for mount in spec.mounts().iter().flatten() {
        let options = Options::of(mount);
        assert_eq!(options.own.set & options.own.clear & !libc::MOUNT_ATTR__ATIME, 0);
    }
    let id = "fuzz".parse().unwrap();
    if let Ok(path) = cgroup::path_of(&spec, &id) {
        assert!(path.is_relative() && path.components().count() > 0);
        assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
    }
    bundle::drop_idle_mappings(&mut spec);
    if bundle::check(&spec).is_err() {
        return;
    }
    bundle::normalize(&mut spec);
    let written = serde_json::to_vec(&spec).unwrap();
    let mut again: Spec = bundle::parse(path, &written).unwrap();
    bundle::check(&again).unwrap();
    bundle::normalize(&mut again);
    assert_eq!(again, spec);
}

/// The process of an exec, as `exec --process` reads it; whether it is one.
pub fn exec(json: &[u8]) -> bool {
    let Ok(mut process) = legacy::parse::<Process>(json, legacy::upgrade_process) else { return false };
    bundle::normalize_process(&mut process);
    let once = process.clone();
    bundle::normalize_process(&mut process);
    assert_eq!(process, once);
    bundle::check_process(&process).is_ok()
}

/// New limits, as `update --resources` reads them; whether they are some.
pub fn resources(json: &[u8]) -> bool {
    legacy::parse::<LinuxResources>(json, legacy::upgrade_resources).is_ok()
}

/// A container's `state.json`.
pub fn record(json: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(json) else { return };
    // Its pid may be anything; only one that could be a process's is ever used as one.
    if let Some(init) = record.init() {
        assert!(init.pid.as_raw_nonzero().get() > 0, "{}", record.pid);
    }
    let written = serde_json::to_vec(&record).unwrap();
    let again: Record = serde_json::from_slice(&written).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
}

/// An id, a signal, a user: words of the command line. Whether the id is one.
pub fn words(text: &str) -> bool {
    if let Ok(signal) = text.parse::<SignalNumber>() {
        assert!((0..=64).contains(&signal.raw()));
    }
    if let Ok(user) = text.parse::<UserSpec>() {
        let gid = user.gid.map(|gid| format!(":{gid}")).unwrap_or_default();
        assert_eq!(format!("{}{gid}", user.uid).parse::<UserSpec>().unwrap(), user);
    }
    text.parse::<ContainerId>().is_ok_and(|id| {
        assert_eq!(id.as_str(), text);
        assert_eq!(Path::new("/r").join(text).parent(), Some(Path::new("/r")));
        true
    })
}

/// `/proc/<pid>/stat`: when the process started.
#[must_use]
pub fn start_time(stat: &str) -> Option<u64> {
    process::fuzzing(stat)
}

/// What the kernel says of cgroups.
pub fn cgroups(text: &str) {
    cgroup::fuzzing::lines(text);
}
