//! `spec`: a `config.json` to start from.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;

use crate::args;
use crate::error::{Error, Result, file};
use crate::exit_code::ExitCode;

/// Runs the command. What is there already is not overwritten.
pub(crate) fn run(args: &args::Spec) -> Result<ExitCode> {
    let path = args.bundle.join("config.json");
    let text = serde_json::to_string_pretty(&template()).map_err(|e| Error::Output(e.into()))?;
    let mut out =
        OpenOptions::new().write(true).create_new(true).open(&path).map_err(file("create", &path))?;
    writeln!(out, "{text}").map_err(file("write", path))?;
    Ok(ExitCode::SUCCESS)
}

/// A shell on a read-only `rootfs` with few capabilities, and what the specification's example mounts and masks.
fn template() -> serde_json::Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mount = |destination, kind, source, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    json!({
        // Not the newest: other runtimes refuse a version later than theirs.
        "ociVersion": "1.0.2",
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "gantry",
        "mounts": [
            mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "cgroup"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_a_configuration() {
        serde_json::from_value::<oci_spec::runtime::Spec>(super::template()).unwrap();
    }
}
