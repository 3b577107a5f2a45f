//! The `config.json` of a container that is started without a bundle: what people expect from a container by default.
//!
//! Its own mount, PID, IPC, UTS and network namespace (with nothing but `lo` in the network), the capabilities that
//! Docker leaves to root, no way to gain more, and the parts of /proc and /sys hidden or read-only that would reach the host.

use std::path::Path;

use serde_json::{Value, json};

/// The longest host name, HOST_NAME_MAX in limits.h.
const MAX_HOSTNAME_BYTES: usize = 64;

/// Where commands are looked for if nobody says otherwise.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Capabilities of root in a container.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Files and directories of the host's that a container must not read.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// And those that it must not write.
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A user of the container, by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The size of a terminal in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// What differs between containers.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    pub(crate) id: &'a str,
    pub(crate) rootfs: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a [String],
    pub(crate) cwd: &'a str,
    pub(crate) user: User,
    pub(crate) terminal: bool,
    /// The terminal's size at the start, so that the first line that is drawn fits.
    pub(crate) size: Option<Size>,
}

/// The configuration as the OCI runtime specification wants it.
pub(crate) fn config(options: &Options<'_>) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": options.rootfs },
        "hostname": hostname(options.id),
        "process": process(options),
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": format!("/gantry/{}", options.id),
            "namespaces": namespaces(),
            // The runtime adds /dev/null and its like, and the terminals.
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": MASKED_PATHS,
            "readonlyPaths": READONLY_PATHS,
        },
    })
}

fn process(options: &Options<'_>) -> Value {
    let user = options.user;
    // Only root holds capabilities from the start. For others the bounding set says what a set-user-id program
    // could give them, which "noNewPrivileges" forbids anyway.
    let held: &[&str] = if user.uid == 0 { &CAPABILITIES } else { &[] };
    let mut process = json!({
        "terminal": options.terminal,
        "user": { "uid": user.uid, "gid": user.gid },
        "args": options.args,
        "env": options.env,
        "cwd": options.cwd,
        "capabilities": { "bounding": CAPABILITIES, "effective": held, "permitted": held },
        "noNewPrivileges": true,
    });
    if let (true, Some(Size { width, height })) = (options.terminal, options.size) {
        process["consoleSize"] = json!({ "width": width, "height": height });
    }
    process
}

fn hostname(id: &str) -> &str {
    // Ids are ASCII, so any cut is between characters.
    id.get(..MAX_HOSTNAME_BYTES).unwrap_or(id)
}

fn namespaces() -> Value {
    ["mount", "pid", "ipc", "uts", "network"].map(|kind| json!({ "type": kind })).into()
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    json!([
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        // Group 5 is `tty` on every distribution.
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str, user: User, terminal: bool) -> Value {
        let args = ["sh".to_owned(), "-c".to_owned(), "true".to_owned()];
        let env = [DEFAULT_PATH.to_owned()];
        let size = Some(Size { width: 80, height: 24 });
        let rootfs = Path::new("/some/rootfs");
        config(&Options { id, rootfs, args: &args, env: &env, cwd: "/", user, terminal, size })
    }

    #[test]
    fn it_is_a_valid_oci_configuration() {
        let spec: oci_spec::runtime::Spec =
            serde_json::from_value(sample("web", User::default(), true)).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(linux.cgroups_path().as_ref().unwrap(), Path::new("/gantry/web"));
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), 5);
        assert_eq!(linux.masked_paths().as_ref().unwrap().len(), MASKED_PATHS.len());
        assert_eq!(spec.root().as_ref().unwrap().path(), Path::new("/some/rootfs"));
        assert_eq!(spec.hostname().as_deref(), Some("web"));
        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.args().as_ref().unwrap(), &["sh", "-c", "true"]);
        assert_eq!(process.no_new_privileges(), Some(true));
        assert_eq!(process.console_size().unwrap().width(), 80);
        let effective = process.capabilities().as_ref().unwrap().effective().as_ref().unwrap();
        assert_eq!(effective.len(), CAPABILITIES.len());
    }

    #[test]
    fn only_root_holds_capabilities() {
        let process = &sample("web", User { uid: 1000, gid: 1000 }, false)["process"];
        assert_eq!(process["capabilities"]["effective"], json!([]));
        assert_eq!(process["capabilities"]["bounding"].as_array().unwrap().len(), 14);
        assert_eq!(process["user"], json!({ "uid": 1000, "gid": 1000 }));
        assert_eq!(process["consoleSize"], Value::Null);
    }

    #[test]
    fn a_long_id_is_cut_to_a_host_name() {
        let spec = sample(&"x".repeat(200), User::default(), false);
        assert_eq!(spec["hostname"].as_str().unwrap().len(), MAX_HOSTNAME_BYTES);
    }
}
