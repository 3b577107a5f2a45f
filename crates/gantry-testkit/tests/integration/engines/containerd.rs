//! containerd 1.6 with its shim v2 for runc, driven by its `ctr`.
//!
//! Each test has a containerd of its own: root, state and socket are in the test's folder. Its shims make their sockets in
//! `/run/containerd/s`, which containerd fixes, under a hash of the socket's path, and remove them when they end.

use super::has_a_terminal;
use crate::support::SOON;
use gantry_testkit::{Binaries, Bundle, Finished, Leaks, Process, Scratch, finish, wait_for, wait_until};
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

struct Containerd {
    scratch: Arc<Scratch>,
    bundle: Bundle,
    child: Child,
}

impl Containerd {
    fn start() -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path().join("containerd");
        fs::create_dir(&folder).unwrap();
        // Where the shim has the runtime keep its records for this namespace of containerd's.
        fs::create_dir_all(scratch.path().join("runtime/default")).unwrap();
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        // Nothing that pulls images or serves Kubernetes.
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"{}\"\n",
            at("root"),
            at("state"),
            at("sock")
        );
        fs::write(folder.join("config.toml"), config).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(folder.join("config.toml"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("containerd: {error}: run `make setup`"));
        let bundle = Bundle::busybox_in(&scratch).build();
        let containerd = Self { scratch, bundle, child };
        wait_until("containerd to answer", SOON, || containerd.ctr(&["version"]).code() == 0);
        containerd
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.scratch.path().join("containerd/sock")).args(args);
        command
    }

    fn ctr(&self, args: &[&str]) -> Finished {
        finish(&mut self.command(args), SOON)
    }

    /// `ctr run` of a command in the bundle's root; `id` is also the name of its cgroup.
    fn run(&self, flags: &[&str], id: &str, command: &[&str]) -> Command {
        let mut run = self.command(&["run", "--runc-binary"]);
        run.arg(Binaries::locate().runtime());
        run.arg("--runc-root").arg(self.scratch.path().join("runtime"));
        run.arg("--cgroup").arg(format!("/{}/{id}", self.scratch.cgroup()));
        run.args(flags).arg("--rootfs").arg(self.bundle.rootfs()).arg(id).args(command);
        run
    }

    /// The word for what a task is doing, and its pid.
    fn task(&self, id: &str) -> Option<(String, i32)> {
        let list = self.ctr(&["task", "ls"]);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let line = list.success().lines().map(words).find(|words| words[0] == id)?;
        Some((line[2].clone(), line[1].parse().unwrap()))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Its shims and containers are the scratch's to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.scratch.path().join("containerd/log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- containerd's log\n{}\n---", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

#[test]
fn output_and_status_come_through() {
    let containerd = Containerd::start();
    let leaks = Leaks::snapshot(&containerd.scratch);
    let script = "echo out; echo err >&2; exit 7";
    let done = finish(&mut containerd.run(&["--rm"], "c1", &["sh", "-c", script]), SOON);
    done.expect_code(7);
    assert_eq!((&*done.stdout, &*done.stderr), ("out\n", "err\n"), "{done}");
    let flags = [
        "--rm",
        "--memory-limit",
        "67108864",
        "--cpus",
        "0.5",
        "--env",
        "A=b",
        "--cwd",
        "/tmp",
        "--read-only",
    ];
    let script = "echo $A $(pwd); touch /x 2>&1; exit 0";
    let done = finish(&mut containerd.run(&flags, "c2", &["sh", "-c", script]), SOON);
    assert_eq!(done.success(), "b /tmp\ntouch: /x: Read-only file system\n");
    let done = finish(&mut containerd.run(&["--rm"], "c3", &["no-such-command"]), SOON);
    assert!(done.stderr.contains("no-such-command") && done.code() != 0, "{done}");
    assert_eq!(containerd.ctr(&["container", "ls", "-q"]).success(), "");
    leaks.assert_clean();
}

#[test]
fn a_task_is_executed_in_paused_measured_killed_and_removed() {
    let containerd = Containerd::start();
    let leaks = Leaks::snapshot(&containerd.scratch);
    let mut start = containerd.run(&["--detach", "--memory-limit", "67108864"], "c1", &["sleep", "1000"]);
    finish(&mut start, SOON).success();
    let (status, pid) = containerd.task("c1").expect("a task");
    assert_eq!(status, "RUNNING");
    let init = Process::of(pid).expect("its process");
    assert_eq!(init.command, "sleep 1000");

    let exec =
        |id: &str, script: &str| containerd.ctr(&["task", "exec", "--exec-id", id, "c1", "sh", "-c", script]);
    let done = exec("e1", "echo from exec; exit 5");
    assert_eq!((done.code(), &*done.stdout), (5, "from exec\n"), "{done}");
    let done = exec("e2", "ps | grep -c 'sleep 100[0]'");
    assert_eq!(done.success(), "1\n");
    let metrics = containerd.ctr(&["task", "metrics", "--format", "json", "c1"]);
    assert!(metrics.success().contains("67108864"), "{metrics}");
    let ps = containerd.ctr(&["task", "ps", "c1"]);
    assert!(ps.success().contains(&pid.to_string()), "{ps}");

    containerd.ctr(&["task", "pause", "c1"]).success();
    assert_eq!(containerd.task("c1").unwrap().0, "PAUSED");
    containerd.ctr(&["task", "resume", "c1"]).success();
    assert_eq!(containerd.task("c1").unwrap().0, "RUNNING");
    containerd.ctr(&["task", "kill", "--signal", "SIGKILL", "c1"]).success();
    assert!(init.ends_within(SOON));
    wait_for("the task to stop", SOON, || containerd.task("c1").filter(|task| task.0 == "STOPPED"));
    // It tells the task's status by its own.
    containerd.ctr(&["task", "rm", "c1"]);
    containerd.ctr(&["container", "rm", "c1"]).success();
    assert_eq!(containerd.task("c1"), None);
    leaks.assert_clean();
}

#[test]
fn a_terminal_is_a_terminal() {
    let containerd = Containerd::start();
    let leaks = Leaks::snapshot(&containerd.scratch);
    let run = containerd.run(&["--rm", "--tty", "--env", "PS1=ready> "], "c1", &["sh"]);
    has_a_terminal(&containerd.scratch, &run);
    leaks.assert_clean();
}
