//! One function per operation, each returning the command that asks the runtime for it.
//!
//! Order matters to runc: global flags, the container's own runtime arguments, the subcommand, its flags, the
//! id (0.2 specification, section 3.3).

use gantry_record::ContainerId;
use std::path::Path;
use std::process::Command;

/// An OCI runtime: what to execute and the arguments that go before every subcommand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Name (looked up in `PATH`) or path.
    pub program: String,
    /// Arguments before the subcommand, such as `--root=DIR`.
    pub args: Vec<String>,
}

/// Where the runtime writes its log as JSON lines, for errors that would otherwise go to a closed stderr.
#[derive(Clone, Copy, Debug)]
pub struct Logging<'a>(pub &'a Path);

/// How a runtime and its caller come to one terminal.
#[derive(Clone, Copy, Debug)]
pub enum Console<'a> {
    /// The runtime makes it and sends its master side to this Unix socket (`--console-socket`, since runc 1.0-rc3).
    Socket(&'a Path),
    /// The caller has made it, and this is the path of its other side (`--console`, before).
    Path(&'a Path),
}

/// What `create` is told.
#[derive(Clone, Copy, Debug)]
pub struct Create<'a> {
    /// The runtime's log.
    pub log: Logging<'a>,
    /// The bundle's folder.
    pub bundle: &'a Path,
    /// Where to write the pid of init.
    pub pid_file: &'a Path,
    /// For a process with a terminal.
    pub console: Option<Console<'a>>,
    /// Use `MS_MOVE` and `chroot` in place of `pivot_root`.
    pub no_pivot: bool,
}

/// What `exec` is told.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// The runtime's log.
    pub log: Logging<'a>,
    /// File with the OCI process object.
    pub process: &'a Path,
    /// Where to write the pid.
    pub pid_file: &'a Path,
    /// As in [`Create`].
    pub console: Option<Console<'a>>,
}

/// What `restore` is told.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// As for `create`.
    pub create: Create<'a>,
    /// Folder of CRIU images.
    pub image_path: &'a Path,
    /// Folder for CRIU's own files.
    pub work_path: &'a Path,
    /// Flags such as `--tcp-established`, in the order of the specification.
    pub flags: &'a [String],
}

/// What `checkpoint` is told.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// Folder for CRIU's images.
    pub image_path: &'a Path,
    /// Folder for CRIU's own files.
    pub work_path: &'a Path,
    /// Flags such as `--leave-running`.
    pub flags: &'a [String],
}

impl Runtime {
    /// Names a runtime.
    pub fn new(program: impl Into<String>, args: Vec<String>) -> Self {
        Self { program: program.into(), args }
    }

    fn command(&self, log: Option<Logging<'_>>, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        forget_service_manager(&mut command);
        if let Some(Logging(path)) = log {
            command.arg("--log").arg(path).args(["--log-format", "json"]);
        }
        command.args(&self.args).arg(subcommand);
        command
    }

    fn simple(&self, subcommand: &str, flags: &[&str], id: &ContainerId) -> Command {
        let mut command = self.command(None, subcommand);
        command.args(flags).arg(id.as_str());
        command
    }

    /// Makes the container and its init, which then waits for [`Runtime::start`].
    #[must_use]
    pub fn create(&self, id: &ContainerId, how: &Create<'_>) -> Command {
        let mut command = self.command(Some(how.log), "create");
        command.arg("--bundle").arg(how.bundle);
        how.add_to(&mut command);
        command.arg(id.as_str());
        command
    }

    /// Makes another process in a running container.
    #[must_use]
    pub fn exec(&self, id: &ContainerId, how: &Exec<'_>) -> Command {
        let mut command = self.command(Some(how.log), "exec");
        command.arg("-d").arg("--process").arg(how.process);
        add_console(&mut command, how.console);
        command.arg("--pid-file").arg(how.pid_file).arg(id.as_str());
        command
    }

    /// Makes the container from a checkpoint; its init runs at once.
    #[must_use]
    pub fn restore(&self, id: &ContainerId, how: &Restore<'_>) -> Command {
        let mut command = self.command(Some(how.create.log), "restore");
        command.arg("-d").arg("--bundle").arg(how.create.bundle);
        command.arg("--image-path").arg(how.image_path).arg("--work-path").arg(how.work_path);
        command.args(how.flags);
        how.create.add_to(&mut command);
        command.arg(id.as_str());
        command
    }

    /// Lets init execute the user's program.
    #[must_use]
    pub fn start(&self, id: &ContainerId) -> Command {
        self.simple("start", &[], id)
    }

    /// Kills whatever still runs in the container.
    #[must_use]
    pub fn kill_all(&self, id: &ContainerId) -> Command {
        let mut command = self.simple("kill", &["--all"], id);
        command.arg("SIGKILL");
        command
    }

    /// Forgets a stopped container; `force` kills it first.
    #[must_use]
    pub fn delete(&self, id: &ContainerId, force: bool) -> Command {
        self.simple("delete", if force { &["-f"] } else { &[] }, id)
    }

    /// Freezes all processes.
    #[must_use]
    pub fn pause(&self, id: &ContainerId) -> Command {
        self.simple("pause", &[], id)
    }

    /// Thaws all processes.
    #[must_use]
    pub fn resume(&self, id: &ContainerId) -> Command {
        self.simple("resume", &[], id)
    }

    /// Prints the OCI state as JSON.
    #[must_use]
    pub fn state(&self, id: &ContainerId) -> Command {
        self.simple("state", &[], id)
    }

    /// Prints the host pids as a JSON array.
    #[must_use]
    pub fn ps(&self, id: &ContainerId) -> Command {
        self.simple("ps", &["--format=json"], id)
    }

    /// Prints the cgroup's figures as one JSON object.
    #[must_use]
    pub fn stats(&self, id: &ContainerId) -> Command {
        self.simple("events", &["--stats"], id)
    }

    /// Writes the processes' state down.
    #[must_use]
    pub fn checkpoint(&self, id: &ContainerId, how: &Checkpoint<'_>) -> Command {
        let mut command = self.command(None, "checkpoint");
        command.arg("--image-path").arg(how.image_path).arg("--work-path").arg(how.work_path);
        command.args(how.flags).arg(id.as_str());
        command
    }

    /// Prints which flags a subcommand takes. Asked of the program alone, without what its containers' arguments say.
    #[must_use]
    pub fn help(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        forget_service_manager(&mut command);
        command.args([subcommand, "--help"]);
        command
    }

    /// Changes limits to the OCI resources that are written to its standard input as JSON.
    #[must_use]
    pub fn update(&self, id: &ContainerId) -> Command {
        self.simple("update", &["-r", "-"], id)
    }
}

/// Takes away the variables by which a service manager talks to the daemon alone (sd_notify(3),
/// sd_listen_fds(3)): a runtime that finds `NOTIFY_SOCKET` hands it on to the container.
pub fn forget_service_manager(command: &mut Command) {
    for variable in
        ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"]
    {
        command.env_remove(variable);
    }
}

impl Create<'_> {
    fn add_to(&self, command: &mut Command) {
        add_console(command, self.console);
        if self.no_pivot {
            command.arg("--no-pivot");
        }
        command.arg("--pid-file").arg(self.pid_file);
    }
}

fn add_console(command: &mut Command, console: Option<Console<'_>>) {
    match console {
        None => {}
        Some(Console::Socket(path)) => drop(command.arg("--console-socket").arg(path)),
        Some(Console::Path(path)) => drop(command.arg("--console").arg(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn line(command: &Command) -> String {
        let mut words = vec![command.get_program().to_string_lossy()];
        words.extend(command.get_args().map(OsStr::to_string_lossy));
        words.join(" ")
    }

    #[test]
    fn global_flags_go_first_and_the_id_last() {
        let runtime = Runtime::new("runc", vec!["--root=/r".to_owned()]);
        let id = ContainerId::new("c1").unwrap();
        let how = Create {
            log: Logging(Path::new("/p/log.json")),
            bundle: Path::new("/b"),
            pid_file: Path::new("/p/pid"),
            console: Some(Console::Socket(Path::new("/s"))),
            no_pivot: true,
        };
        assert_eq!(
            line(&runtime.create(&id, &how)),
            "runc --log /p/log.json --log-format json --root=/r create --bundle /b --console-socket /s \
             --no-pivot --pid-file /p/pid c1"
        );
        let how = Exec {
            log: how.log,
            process: Path::new("/p/process.json"),
            pid_file: how.pid_file,
            console: None,
        };
        assert_eq!(
            line(&runtime.exec(&id, &how)),
            "runc --log /p/log.json --log-format json --root=/r exec -d --process /p/process.json \
             --pid-file /p/pid c1"
        );
        let how = Exec { console: Some(Console::Path(Path::new("/dev/pts/7"))), ..how };
        assert!(line(&runtime.exec(&id, &how)).contains("/process.json --console /dev/pts/7 --pid-file "));
        assert_eq!(line(&runtime.help("create")), "runc create --help");
        assert_eq!(line(&runtime.start(&id)), "runc --root=/r start c1");
        assert_eq!(line(&runtime.kill_all(&id)), "runc --root=/r kill --all c1 SIGKILL");
        assert_eq!(line(&runtime.delete(&id, true)), "runc --root=/r delete -f c1");
        assert_eq!(line(&runtime.update(&id)), "runc --root=/r update -r - c1");
    }
}
