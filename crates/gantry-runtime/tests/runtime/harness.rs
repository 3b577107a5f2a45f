//! Bundles in temporary directories, and the runtime run on them.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_gantry-runtime");
const APPLETS: [&str; 22] = [
    "cat", "chown", "echo", "env", "head", "id", "kill", "ln", "ls", "mkdir", "mknod", "mount", "ps", "pwd",
    "readlink", "sh", "sleep", "stat", "stty", "touch", "true", "yes",
];

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Asserts success and returns what was printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Asserts failure and returns the error text.
    #[track_caller]
    pub(crate) fn err(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.stderr
    }
}

/// A bundle, a state directory and the containers in it.
pub(crate) struct Sandbox {
    dir: TempDir,
    ids: RefCell<Vec<String>>,
}

impl Sandbox {
    /// A sandbox whose container runs `args`; none, with the reason printed, where tests cannot run.
    pub(crate) fn new(args: &[&str]) -> Option<Self> {
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].iter().map(Path::new).find(|path| path.exists());
        let root = rustix::process::geteuid().is_root();
        let (true, Some(busybox)) = (root, busybox) else {
            println!("skipped: needs root and a static busybox (root: {root}, busybox: {busybox:?})");
            return None;
        };
        let sandbox = Self { dir: TempDir::new().unwrap(), ids: RefCell::default() };
        let rootfs = sandbox.rootfs();
        for directory in ["bin", "dev", "etc", "proc", "sys", "tmp", "home/user"] {
            fs::create_dir_all(rootfs.join(directory)).unwrap();
        }
        fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        fs::write(
            rootfs.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        )
        .unwrap();
        let bundle = sandbox.bundle();
        sandbox.run(&["spec", "--bundle", bundle.to_str().unwrap()]).ok();
        sandbox.configure(|config| {
            config["process"]["terminal"] = false.into();
            config["process"]["args"] = args.into();
            config["root"]["readonly"] = false.into();
        });
        Some(sandbox)
    }

    /// Changes the configuration.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.bundle().join("config.json");
        let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path("bundle/rootfs")
    }
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// A path in the sandbox outside of the bundle.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An id that nobody else on this machine uses.
    pub(crate) fn id(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("gantry-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.ids.borrow_mut().push(id.clone());
        id
    }

    /// The runtime's command with `--root`; its output goes to files, so that a container may keep it open.
    fn command(&self, args: &[&str]) -> (Command, PathBuf, PathBuf) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.path(&format!("out-{number}")), self.path(&format!("err-{number}")));
        let mut command = Command::new(BINARY);
        command.arg("--root").arg(self.state_dir()).args(args).stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        (command, out, err)
    }

    /// Runs the runtime to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.run_with(args, |_| {})
    }

    /// The same with a change to the command.
    pub(crate) fn run_with(&self, args: &[&str], change: impl FnOnce(&mut Command)) -> Outcome {
        let (mut command, out, err) = self.command(args);
        change(&mut command);
        let status = command.status().unwrap();
        let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Outcome { code: status.code(), stdout: text(out), stderr: text(err) }
    }

    /// Starts the runtime and leaves it running.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).0.spawn().unwrap()
    }

    /// Creates a container on the bundle.
    pub(crate) fn create(&self, id: &str) -> Outcome {
        self.run(&["create", "--bundle", self.bundle().to_str().unwrap(), id])
    }

    /// Runs a container in the foreground.
    pub(crate) fn run_container(&self) -> Outcome {
        self.run(&["run", "--bundle", self.bundle().to_str().unwrap(), &self.id()])
    }

    /// The status that `state` prints.
    pub(crate) fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    /// What `state` prints.
    pub(crate) fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.run(&["state", id]).ok()).unwrap()
    }

    /// The container's first process.
    pub(crate) fn pid(&self, id: &str) -> u32 {
        self.state(id)["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// Waits for a status.
    #[track_caller]
    pub(crate) fn wait_status(&self, id: &str, wanted: &str) {
        wait_until(&format!("{id} is {wanted}"), || self.status(id) == wanted);
    }

    /// Kills and deletes a container, and asserts that nothing of it is left.
    #[track_caller]
    pub(crate) fn end(&self, id: &str) {
        self.run(&["delete", "--force", id]).ok();
        self.assert_gone(id);
    }

    /// Asserts that a container has no directory, no cgroup and no mount.
    #[track_caller]
    pub(crate) fn assert_gone(&self, id: &str) {
        assert!(!self.state_dir().join(id).exists(), "state directory of {id} is left");
        let cgroups = cgroups_of(id);
        assert!(cgroups.is_empty(), "cgroups are left: {cgroups:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.path().to_str().unwrap()), "mounts are left");
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for id in self.ids.borrow().iter() {
            let _ = self.command(&["delete", "--force", id]).0.status();
        }
    }
}

/// The directories that the cgroup `/ID` has in all hierarchies.
pub(crate) fn cgroups_of(id: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    let candidates =
        hierarchies.map(|hierarchy| hierarchy.join(id)).chain([Path::new("/sys/fs/cgroup").join(id)]);
    candidates.filter(|path| path.is_dir()).collect()
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs, zombies not counted.
pub(crate) fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}
