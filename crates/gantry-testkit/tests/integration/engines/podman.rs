//! podman 4.3 with its conmon, without its daemonless world's usual places: storage, records, locks and temporary files are
//! in the test's folder, and there is no network to set up.

use super::has_a_terminal;
use crate::support::SOON;
use gantry_testkit::{Binaries, Bundle, Finished, Leaks, Process, Scratch, finish, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

struct Podman {
    scratch: Arc<Scratch>,
    bundle: Bundle,
}

/// Locks in files, not in a shared memory of the whole machine; its defaults for limits are more than root may have here.
const CONFIG: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
lock_type = "file"
events_logger = "file"
cgroup_manager = "cgroupfs"
"#;

impl Podman {
    fn new() -> Self {
        let scratch = Scratch::new();
        let bundle = Bundle::busybox_in(&scratch).build();
        fs::create_dir(scratch.path().join("podman")).unwrap();
        fs::write(scratch.path().join("podman/containers.conf"), CONFIG).unwrap();
        // The command with which conmon cleans up later does not get `--runtime-flag`.
        let wrapper = scratch.path().join("podman/gantry-runtime");
        let (runtime, records) = (Binaries::locate().runtime(), scratch.path().join("runtime"));
        let script = format!("#!/bin/sh\nexec {} --root {} \"$@\"\n", runtime.display(), records.display());
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(records).unwrap();
        let podman = Self { scratch, bundle };
        // It makes a cgroup for all conmons and keeps it.
        finish(&mut podman.run(&["--rm"], &["true"]), SOON).success();
        podman
    }

    fn command(&self, args: &[&str]) -> Command {
        let folder = self.scratch.path().join("podman");
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", folder.join("containers.conf"));
        command.env("HOME", &folder).env("TMPDIR", &folder);
        for flag in ["root", "runroot", "tmpdir"] {
            command.arg(format!("--{flag}")).arg(folder.join(flag));
        }
        command.args(["--storage-driver", "vfs", "--runtime"]).arg(folder.join("gantry-runtime"));
        command.args(args);
        command
    }

    fn podman(&self, args: &[&str]) -> Finished {
        finish(&mut self.command(args), SOON)
    }

    /// `podman run` of a command in the bundle's root.
    fn run(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut run = self.command(&["run", "--network", "none", "--cgroup-parent"]);
        run.arg(format!("/{}", self.scratch.cgroup())).args(flags);
        run.arg("--rootfs").arg(self.bundle.rootfs()).args(command);
        run
    }

    fn status(&self, name: &str) -> String {
        let status = self.podman(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name]);
        status.success().trim().to_owned()
    }
}

#[test]
fn output_and_status_come_through() {
    let podman = Podman::new();
    let leaks = Leaks::snapshot(&podman.scratch);
    let script = "echo out; echo err >&2; exit 7";
    let done = finish(&mut podman.run(&["--rm"], &["sh", "-c", script]), SOON);
    done.expect_code(7);
    assert_eq!((&*done.stdout, &*done.stderr), ("out\n", "err\n"), "{done}");
    let flags = [
        "--rm",
        "--memory",
        "64m",
        "--pids-limit",
        "50",
        "--env",
        "A=b",
        "--workdir",
        "/tmp",
        "--read-only",
        "--cap-drop",
        "all",
        "--user",
        "65534:65534",
        "--hostname",
        "of-podman",
        "--sysctl",
        "kernel.msgmax=4096",
        "--tmpfs",
        "/scratch",
        "--security-opt",
        "no-new-privileges",
    ];
    let script = "echo $A $(pwd) $(id -u) $(hostname) $(cat /proc/sys/kernel/msgmax); touch /x 2>&1; exit 0";
    let done = finish(&mut podman.run(&flags, &["sh", "-c", script]), SOON);
    assert_eq!(done.success(), "b /tmp 65534 of-podman 4096\ntouch: /x: Read-only file system\n");
    // As with runc: podman tells the two apart by the runtime's words.
    let done = finish(&mut podman.run(&["--rm"], &["no-such-command"]), SOON);
    done.expect_code(127);
    let done = finish(&mut podman.run(&["--rm"], &["/etc"]), SOON);
    done.expect_code(126);
    assert_eq!(podman.podman(&["ps", "-aq"]).success(), "");
    leaks.assert_clean();
}

#[test]
fn a_container_is_executed_in_paused_updated_killed_and_removed() {
    let podman = Podman::new();
    let leaks = Leaks::snapshot(&podman.scratch);
    finish(&mut podman.run(&["-d", "--name", "c1"], &["sleep", "1000"]), SOON).success();
    assert_eq!(podman.status("c1"), "running 0");
    let pid = podman.podman(&["inspect", "--format", "{{.State.Pid}}", "c1"]);
    let init = Process::of(pid.success().trim().parse().unwrap()).expect("its process");
    assert_eq!(init.command, "sleep 1000");

    let done = podman.podman(&["exec", "--env", "A=b", "c1", "sh", "-c", "echo from exec $A; exit 5"]);
    assert_eq!((done.code(), &*done.stdout), (5, "from exec b\n"), "{done}");
    let top = podman.podman(&["top", "c1", "args"]);
    assert!(top.success().contains("sleep 1000"), "{top}");
    podman.podman(&["pause", "c1"]).success();
    assert_eq!(podman.status("c1"), "paused 0");
    podman.podman(&["unpause", "c1"]).success();
    assert_eq!(podman.status("c1"), "running 0");
    podman.podman(&["kill", "c1"]).success();
    assert!(init.ends_within(SOON));
    wait_until("the exit to be known", SOON, || podman.status("c1") == "exited 137");
    // What ended starts again.
    podman.podman(&["start", "c1"]).success();
    assert_eq!(podman.status("c1"), "running 0");
    podman.podman(&["rm", "--force", "--time", "0", "c1"]).success();
    assert_eq!(podman.podman(&["ps", "-aq"]).success(), "");
    leaks.assert_clean();
}

#[test]
fn a_terminal_is_a_terminal() {
    let podman = Podman::new();
    let leaks = Leaks::snapshot(&podman.scratch);
    // tmux passes no environment on.
    let plain = podman.run(&["--rm", "-it", "--env", "PS1=ready> "], &["sh"]);
    let mut run = Command::new("env");
    let set = plain.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
    run.args(set.map(|(name, value)| format!("{name}={value}")));
    run.arg(plain.get_program()).args(plain.get_args());
    has_a_terminal(&podman.scratch, &run);
    leaks.assert_clean();
}
