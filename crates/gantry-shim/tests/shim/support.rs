//! A throw-away container and the daemon's side of the shim contract.

use gantry_record::control::ControlMessage;
use gantry_record::layout::name;
use gantry_record::proc::ProcStat;
use gantry_record::{
    ContainerDir, ContainerId, ContainerRecord, ProcessDir, ProcessId, ProcessRecord, fifo, ready,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// No wait of a working test comes near this.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

const RUNTIME: &str = "runc";
const APPLETS: &[&str] = &[
    "cat", "dd", "echo", "grep", "head", "kill", "ls", "nohup", "printf", "sh", "sleep", "stty", "test",
    "tr", "true", "tty",
];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A bundle, a runtime root and a state dir; the container is deleted when it goes out of scope.
pub(crate) struct Container {
    folder: TempDir,
    id: ContainerId,
    config: Value,
    /// What a shell does before it becomes the shim.
    spawned_by: Option<&'static str>,
}

impl Container {
    /// A container that would run `args`.
    pub(crate) fn new(args: &[&str]) -> Self {
        // What outlives its shim becomes this program's child, as it becomes the daemon's or pid 1's.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let folder = tempfile::Builder::new().prefix("gantry-shim-").tempdir().unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("shim-test-{}-{number}", std::process::id());
        let bin = folder.path().join("bundle/rootfs/bin");
        std::fs::create_dir_all(&bin).unwrap();
        for name in ["dev", "proc", "tmp"] {
            std::fs::create_dir(folder.path().join("bundle/rootfs").join(name)).unwrap();
        }
        std::fs::copy("/usr/bin/busybox", bin.join("busybox")).expect("busybox-static is needed");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let config = json!({
            "ociVersion": "1.0.2",
            "process": process(args),
            "root": {"path": "rootfs", "readonly": false},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
            ],
            "linux": {
                "cgroupsPath": format!("/{id}"),
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
            },
        });
        let container = Self { folder, id: ContainerId::new(&id).unwrap(), config, spawned_by: None };
        let record = ContainerRecord { bundle: "/b".to_owned(), ..ContainerRecord::default() };
        container.dir().create(&record).unwrap();
        container
    }

    /// The same without a pid namespace of its own.
    pub(crate) fn without_pid_namespace(mut self) -> Self {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        self
    }

    /// The same with a terminal.
    pub(crate) fn with_terminal(mut self) -> Self {
        self.config["process"]["terminal"] = Value::Bool(true);
        self
    }

    /// The same with a preference of the kernel's when memory is short.
    pub(crate) fn with_oom_score(mut self, score: i32) -> Self {
        self.config["process"]["oomScoreAdj"] = score.into();
        self
    }

    /// The same with shims that a shell executes after `preparation`.
    pub(crate) fn spawned_by(mut self, preparation: &'static str) -> Self {
        self.spawned_by = Some(preparation);
        self
    }

    fn dir(&self) -> ContainerDir {
        ContainerDir::new(self.path("state"))
    }

    /// A path in the test's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A FIFO in the test's own folder.
    pub(crate) fn fifo(&self, name: &str) -> String {
        fifo::make(&self.path(name), Mode::RUSR | Mode::WUSR).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Standard streams as FIFOs with these prefixes.
    pub(crate) fn streams(&self, prefix: &str) -> ProcessRecord {
        ProcessRecord {
            stdin: self.fifo(&format!("{prefix}-stdin")),
            stdout: self.fifo(&format!("{prefix}-stdout")),
            stderr: self.fifo(&format!("{prefix}-stderr")),
            ..ProcessRecord::default()
        }
    }

    /// The shim of init.
    pub(crate) fn init(&self, record: ProcessRecord) -> Shim {
        let config = serde_json::to_vec(&self.config).unwrap();
        std::fs::write(self.path("bundle/config.json"), config).unwrap();
        self.shim("init", record, &self.config["process"])
    }

    /// The shim of an exec.
    pub(crate) fn exec(&self, id: &str, record: ProcessRecord, args: &[&str]) -> Shim {
        self.shim(id, ProcessRecord { exec: true, ..record }, &process(args))
    }

    /// The shim of an exec with more keys in its process object.
    pub(crate) fn exec_with(&self, id: &str, record: ProcessRecord, args: &[&str], extra: &Value) -> Shim {
        let mut process = process(args);
        process.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.shim(id, ProcessRecord { exec: true, ..record }, &process)
    }

    /// The container's id.
    pub(crate) fn id(&self) -> &str {
        self.id.as_str()
    }

    fn shim(&self, id: &str, record: ProcessRecord, process: &Value) -> Shim {
        let record = ProcessRecord {
            runtime_args: vec![self.runtime_root()],
            process: process.as_object().unwrap().clone(),
            ..record
        };
        let dir = self.dir().process(&ProcessId::new(id).unwrap());
        dir.create(&record).unwrap();
        let program = shim_program(self.spawned_by);
        Shim::spawn_as(program, Stdio::null(), dir, self.id.as_str(), &self.path("bundle"), RUNTIME)
    }

    /// Kills a shim and puts another one beside its process, which becomes this test's child, as the daemon would.
    pub(crate) fn adopt(&self, shim: Shim, terminal: Option<OwnedFd>) -> Shim {
        let dir = shim.dir.clone();
        drop(shim);
        let stdin = terminal.map_or_else(Stdio::null, Stdio::from);
        let mut program = shim_program(None);
        program.arg("--adopt");
        Shim::spawn_as(program, stdin, dir, self.id.as_str(), &self.path("bundle"), RUNTIME)
    }

    fn runtime_root(&self) -> String {
        format!("--root={}", self.path("runtime").display())
    }

    /// Runs the runtime as the daemon would.
    pub(crate) fn runtime(&self, args: &[&str]) -> Output {
        Command::new(RUNTIME).arg(self.runtime_root()).args(args).arg(self.id.as_str()).output().unwrap()
    }

    /// Lets init run, and notes that it was started.
    pub(crate) fn start(&self) {
        let output = self.runtime(&["start"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.dir().process(&ProcessId::init()).mark_started().unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.runtime(&["delete", "-f"]);
    }
}

/// An OCI process object.
fn process(args: &[&str]) -> Value {
    json!({
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": ["PATH=/bin"],
        "cwd": "/",
        "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
    })
}

fn shim_program(preparation: Option<&str>) -> Command {
    let program = env!("CARGO_BIN_EXE_gantry-shim");
    let Some(preparation) = preparation else { return Command::new(program) };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{preparation}; exec \"$0\" \"$@\""), program]);
    shell
}

/// A running shim, seen from the daemon.
pub(crate) struct Shim {
    pub(crate) child: Child,
    pub(crate) dir: ProcessDir,
    pub(crate) exit: OwnedFd,
    control: OwnedFd,
    ready: Option<ChildStdout>,
}

impl Shim {
    /// Starts one in `dir`.
    pub(crate) fn spawn(dir: ProcessDir, id: &str, bundle: &Path, runtime: &str) -> Self {
        Self::spawn_as(shim_program(None), Stdio::null(), dir, id, bundle, runtime)
    }

    fn spawn_as(
        mut program: Command,
        stdin: Stdio,
        dir: ProcessDir,
        id: &str,
        bundle: &Path,
        runtime: &str,
    ) -> Self {
        let exit = fifo::open(&dir.file(name::EXIT), OFlags::RDONLY).unwrap();
        let control = fifo::open(&dir.file(name::CONTROL), OFlags::RDWR).unwrap();
        let mut child = program
            .args([id, bundle.to_str().unwrap(), runtime])
            .current_dir(dir.path())
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ready = child.stdout.take();
        Self { child, dir, exit, control, ready }
    }

    /// Closes the daemon's end of the ready pipe.
    pub(crate) fn lose_daemon(&mut self) {
        self.ready = None;
    }

    /// All that comes through the ready pipe.
    pub(crate) fn readiness(&mut self) -> String {
        let mut text = String::new();
        let mut pipe = self.ready.take().unwrap();
        let end = format!("{}{}", ready::HELLO, ready::READY);
        let mut chunk = [0_u8; 64];
        while text != end {
            await_event(&pipe, PollFlags::IN, "the shim's readiness");
            match pipe.read(&mut chunk).unwrap() {
                0 => break,
                count => text.push_str(std::str::from_utf8(&chunk[..count]).unwrap()),
            }
        }
        text
    }

    /// Waits until the process was made, and notes who it is.
    pub(crate) fn await_ready(&mut self) {
        let text = self.readiness();
        assert_eq!(text, format!("{}{}", ready::HELLO, ready::READY), "{}", self.logs());
        if let Some(stat) = self.dir.pid().unwrap().and_then(ProcStat::of) {
            self.dir.write_start_time(stat.start_time).unwrap();
        }
    }

    /// Both logs, for messages.
    pub(crate) fn logs(&self) -> String {
        [name::SHIM_LOG, name::RUNTIME_LOG]
            .map(|log| std::fs::read_to_string(self.dir.file(log)).unwrap_or_default())
            .concat()
    }

    /// Writes to `control`.
    pub(crate) fn send(&self, message: ControlMessage) {
        self.send_bytes(message.encode().as_bytes());
    }

    /// Writes anything to `control`.
    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.control, bytes), Ok(bytes.len()));
    }

    /// The pid of the process.
    pub(crate) fn pid(&self) -> i32 {
        self.dir.pid().unwrap().unwrap()
    }

    /// Waits for the report of the exit; the status.
    pub(crate) fn await_exit(&self) -> u32 {
        await_event(&self.exit, PollFlags::empty(), "the exit");
        let status = self.dir.exit_status().unwrap();
        status.unwrap_or_else(|| panic!("no status; {}", self.logs())).get()
    }

    /// Whether the exit has been reported by now.
    pub(crate) fn has_exited(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.exit, PollFlags::empty())], Some(&now)).unwrap() > 0
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for an event or a hang-up on a descriptor.
pub(crate) fn await_event(fd: &impl AsFd, what: PollFlags, name: &str) {
    let ready = poll(&mut [PollFd::new(fd, what)], Some(&PATIENCE)).unwrap();
    assert!(ready > 0, "timed out waiting for {name}");
}

/// A client's end of a FIFO.
pub(crate) struct Reader(OwnedFd);

impl Reader {
    /// Opens it before or after the shim does.
    pub(crate) fn open(path: &str) -> Self {
        Self(fifo::open(Path::new(path), OFlags::RDONLY).unwrap())
    }

    /// Opens it as ctr of 0.2 does: a reader that also is a writer.
    pub(crate) fn open_read_write(path: &str) -> Self {
        Self(fifo::open(Path::new(path), OFlags::RDWR).unwrap())
    }

    /// Writes, for one that was opened for it too.
    pub(crate) fn write(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.0, bytes), Ok(bytes.len()));
    }

    fn read(&self) -> Vec<u8> {
        await_event(&self.0, PollFlags::IN, "output");
        let mut chunk = vec![0; 65_536];
        let count = rustix::io::read(&self.0, &mut chunk).unwrap();
        chunk.truncate(count);
        chunk
    }

    /// Reads up to the end of file.
    pub(crate) fn read_to_end(&self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match self.read() {
                chunk if chunk.is_empty() => return all,
                chunk => all.extend(chunk),
            }
        }
    }

    /// Reads up to the end of file, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.read_to_end()).unwrap()
    }

    /// Reads until what came contains `wanted`.
    pub(crate) fn read_until(&self, wanted: &str) -> String {
        let mut all = Vec::new();
        let mut searched = 0;
        loop {
            let chunk = self.read();
            assert!(!chunk.is_empty(), "ended before {wanted:?}: {:?}", String::from_utf8_lossy(&all));
            all.extend(chunk);
            if all[searched..].windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
                return String::from_utf8_lossy(&all).into_owned();
            }
            searched = all.len().saturating_sub(wanted.len());
        }
    }
}

/// A client's end of the standard input.
pub(crate) fn open_writer(path: &str) -> std::fs::File {
    std::fs::File::from(fifo::open(Path::new(path), OFlags::WRONLY).unwrap())
}

/// Waits until a process of this host has ended (and is reaped or about to be).
pub(crate) fn await_death(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(pidfd) => await_event(&pidfd, PollFlags::IN, "a process to end"),
        Err(error) => assert_eq!(error, rustix::io::Errno::SRCH),
    }
}

/// A runtime that is a shell script.
pub(crate) fn script(container: &Container, text: &str) -> PathBuf {
    let path = container.path("runtime.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
