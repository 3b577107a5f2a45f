//! The bundle: a directory with `config.json` and the root filesystem, checked before anything is done with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gantry_record::atomic;
use libcontainer::validator::Validator;
use oci_spec::runtime::{LinuxCapabilities, LinuxNamespaceType, LinuxSeccompAction, Process, Spec};

use crate::error::{Error, Result, chain, file};
use crate::legacy;

/// What `linux.rootfsPropagation` may be, with or without an `r` before it.
const PROPAGATIONS: [&str; 5] = ["", "shared", "slave", "private", "unbindable"];

/// A bundle whose configuration this runtime can do.
pub(crate) struct Bundle {
    /// The directory, absolute.
    pub(crate) path: PathBuf,
    /// The configuration as written.
    pub(crate) json: Vec<u8>,
    /// The configuration, checked and normalized.
    pub(crate) spec: Spec,
    /// The root filesystem, absolute, without links.
    pub(crate) rootfs: PathBuf,
}

impl Bundle {
    /// Reads and checks a bundle.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let path = fs::canonicalize(path).map_err(file("find bundle", path))?;
        let config = path.join("config.json");
        let json = read(&config)?;
        let mut spec = parse(&config, &json)?;
        let refuse = |reason: String| Error::Config { path: config.clone(), reason };
        drop_idle_mappings(&mut spec);
        check(&spec).map_err(refuse)?;
        let root = spec.root().as_ref().ok_or_else(|| refuse("root is missing".into()))?.path();
        let root = path.join(root);
        let rootfs = fs::canonicalize(&root).map_err(file("find root filesystem", root))?;
        normalize(&mut spec);
        Ok(Self { path, json, spec, rootfs })
    }
}

/// Reads a file that is given by its path: whatever stands there, it is neither waited for nor read without end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    atomic::read_foreign(path, atomic::MAX_RECORD_BYTES).map_err(|error| match error {
        gantry_record::Error::Io { step, path, source } => file(step, path)(source),
        other => file("read", path)(io::Error::other(other.to_string())),
    })
}

/// Parses a configuration.
pub(crate) fn parse(path: &Path, json: &[u8]) -> Result<Spec> {
    legacy::parse(json, legacy::upgrade_spec).map_err(|source| Error::Parse { path: path.to_owned(), source })
}

/// Drops id mappings that no user namespace uses: runc and crun ignore them.
pub(crate) fn drop_idle_mappings(spec: &mut Spec) {
    let Some(linux) = spec.linux_mut() else { return };
    if !linux.namespaces().iter().flatten().any(|ns| ns.typ() == LinuxNamespaceType::User) {
        linux.set_uid_mappings(None).set_gid_mappings(None);
    }
}

/// Refuses by name what would otherwise be ignored or fail half way.
pub(crate) fn check(spec: &Spec) -> std::result::Result<(), String> {
    let process = spec.process().as_ref().ok_or("process is missing")?;
    check_process(process)?;
    let linux = spec.linux().as_ref().ok_or("linux is missing")?;
    let version = spec.version();
    if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major > 1) {
        return Err(format!("ociVersion {version:?} is not supported, only 1.x and what preceded it"));
    }
    Validator::validate_spec(spec).map_err(|e| chain(&e))?;
    let unsupported = |what: &str| Err(format!("{what} is not supported"));
    if linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        return unsupported("linux.netDevices");
    }
    if !linux.namespaces().iter().flatten().any(|ns| ns.typ() == LinuxNamespaceType::Mount) {
        // Its mounts would be the host's.
        return unsupported("a container without a mount namespace");
    }
    if linux.intel_rdt().is_some() {
        return unsupported("linux.intelRdt");
    }
    if let Some(propagation) = linux.rootfs_propagation()
        && !PROPAGATIONS.contains(&propagation.trim_start_matches('r'))
    {
        return unsupported(&format!("linux.rootfsPropagation {propagation:?}"));
    }
    let label = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    if label(linux.mount_label()) {
        return unsupported("linux.mountLabel (SELinux)");
    }
    for mount in spec.mounts().iter().flatten() {
        let options = mount.options().iter().flatten();
        let idmapped = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        if idmapped || options.clone().any(|option| option == "idmap" || option == "ridmap") {
            return unsupported(&format!("the id-mapped mount {:?}", mount.destination()));
        }
    }
    if let Some(seccomp) = linux.seccomp() {
        let rules = seccomp.syscalls().iter().flatten();
        let notify = LinuxSeccompAction::ScmpActNotify;
        if seccomp.default_action() == notify || rules.clone().any(|rule| rule.action() == notify) {
            return unsupported("linux.seccomp with SCMP_ACT_NOTIFY");
        }
        let filters = seccomp.default_action() != LinuxSeccompAction::ScmpActAllow || rules.count() > 0;
        if cfg!(not(feature = "seccomp")) && filters {
            return Err(
                "linux.seccomp needs a gantry-runtime that was built with the feature `seccomp`".into()
            );
        }
    }
    Ok(())
}

/// What must hold for the process of a container and for one of an exec.
pub(crate) fn check_process(process: &Process) -> std::result::Result<(), String> {
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err("process.args is missing or empty".into());
    }
    if !process.cwd().is_absolute() {
        return Err(format!("process.cwd {:?} is not an absolute path", process.cwd()));
    }
    if process.selinux_label().as_ref().is_some_and(|label| !label.is_empty()) {
        return Err("process.selinuxLabel is not supported".into());
    }
    if process.apparmor_profile().as_ref().is_some_and(|profile| !profile.is_empty())
        && !libcontainer::apparmor::is_enabled().unwrap_or(false)
    {
        return Err("process.apparmorProfile is set, but AppArmor is not enabled on this machine".into());
    }
    Ok(())
}

/// Gives values that mean the same the one form that libcontainer takes as meant.
pub(crate) fn normalize(spec: &mut Spec) {
    if let Some(process) = spec.process_mut() {
        normalize_process(process);
    }
    let Some(linux) = spec.linux_mut() else { return };
    // Clients write an empty path for a new namespace.
    for namespace in linux.namespaces_mut().iter_mut().flatten() {
        if namespace.path().as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            namespace.set_path(None);
        }
    }
    // The specification has no recursive ones, but clients write them; libcontainer's are recursive anyway.
    let propagation = match linux.rootfs_propagation().as_deref() {
        Some("rshared") => Some("shared"),
        Some("rslave") => Some("slave"),
        Some("rprivate") => Some("private"),
        Some("runbindable") => Some("unbindable"),
        Some("") | None => None,
        Some(other) => Some(other),
    };
    let propagation = propagation.map(str::to_owned);
    linux.set_rootfs_propagation(propagation);
    let allows_all = linux.seccomp().as_ref().is_some_and(|seccomp| {
        seccomp.default_action() == LinuxSeccompAction::ScmpActAllow
            && seccomp.syscalls().iter().flatten().count() == 0
    });
    if allows_all {
        linux.set_seccomp(None);
    }
}

/// The same for the process of an exec.
pub(crate) fn normalize_process(process: &mut Process) {
    // libcontainer takes a present `false` for `true` when it chooses the moment to load seccomp.
    if process.no_new_privileges() == Some(false) {
        process.set_no_new_privileges(None);
    }
    // It keeps every capability where none are given; the specification and runc keep none.
    if process.capabilities().is_none() {
        process.set_capabilities(Some(no_capabilities()));
    }
    if process.apparmor_profile().as_ref().is_some_and(String::is_empty) {
        process.set_apparmor_profile(None);
    }
}

fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None).set_effective(None).set_inheritable(None).set_permitted(None).set_ambient(None);
    none
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: impl FnOnce(&mut serde_json::Value)) -> Spec {
        let mut json = serde_json::json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/", "noNewPrivileges": false},
            "root": {"path": "rootfs"},
            "linux": {"namespaces": [{"type": "pid", "path": ""}, {"type": "mount"}]}
        });
        change(&mut json);
        parse(Path::new("x"), json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_plain_configuration_passes_and_is_normalized() {
        let mut spec = spec(|_| {});
        check(&spec).unwrap();
        normalize(&mut spec);
        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.no_new_privileges(), None);
        assert_eq!(process.capabilities().as_ref().unwrap().effective(), &None);
        assert!(spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap()[0].path().is_none());
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let refused = |change: fn(&mut serde_json::Value)| check(&spec(change)).unwrap_err();
        assert!(refused(|j| j["process"]["args"] = serde_json::json!([])).contains("process.args"));
        assert!(refused(|j| j["process"]["cwd"] = "x".into()).contains("process.cwd"));
        assert!(refused(|j| j["ociVersion"] = "2.0.0".into()).contains("ociVersion"));
        assert!(refused(|j| j["linux"]["mountLabel"] = "x".into()).contains("mountLabel"));
    }

    #[cfg(not(feature = "seccomp"))]
    #[test]
    fn a_filter_needs_the_feature() {
        let error = check(&spec(|j| {
            j["linux"]["seccomp"] = serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO"});
        }));
        assert!(error.unwrap_err().contains("seccomp"));
    }
}
