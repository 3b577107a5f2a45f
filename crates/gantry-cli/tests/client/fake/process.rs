//! A "container": a process of the host with the stdio that a shim would give it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};

use super::Shared;

/// O_NONBLOCK on Linux.
const NONBLOCK: i32 = 0o4000;

/// A process and what its shim holds.
pub(crate) struct Running {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) bundle: String,
    pid: u32,
    /// Keeps stdin open; closed by `closeStdin`.
    pub(crate) closer: Option<File>,
}

pub(crate) struct Wanted {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) bundle: String,
    pub(crate) stdio: [String; 3],
}

/// Starts a process, and tells when it has ended.
pub(crate) fn start(
    shared: &Arc<Shared>,
    id: &str,
    pid: &str,
    wanted: Wanted,
    event: &str,
) -> Result<u32, String> {
    let [stdin, stdout, stderr] = &wanted.stdio;
    let (stdin, closer) = open_input(stdin);
    let (stdout, stdout_reader) = open_output(stdout);
    let (stderr, stderr_reader) = open_output(stderr);
    let (program, args) = wanted.args.split_first().ok_or("no command")?;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(wanted.env.iter().filter_map(|variable| variable.split_once('=')))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("exec: \"{program}\": executable file not found in $PATH")
            }
            _ => format!("exec: \"{program}\": permission denied"),
        })?;
    let running =
        Running { args: wanted.args, env: wanted.env, bundle: wanted.bundle, pid: child.id(), closer };
    let key = (id.to_owned(), pid.to_owned());
    shared.processes.lock().unwrap().insert(key.clone(), running);
    shared.publish(event, id, if event == "start-process" { pid } else { "" }, 0);
    let (shared, host_pid) = (Arc::clone(shared), child.id());
    std::thread::spawn(move || {
        let status = child.wait().unwrap();
        drop((stdout_reader, stderr_reader));
        shared.processes.lock().unwrap().remove(&key);
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        shared.publish("exit", &key.0, &key.1, status.cast_unsigned());
    });
    Ok(host_pid)
}

impl Running {
    pub(crate) fn signal(&self, number: u32) {
        let pid = Pid::from_raw(self.pid.cast_signed()).unwrap();
        let signal = Signal::from_named_raw(number.cast_signed()).unwrap();
        let _ = kill_process(pid, signal);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

fn is_fifo(path: &str) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn open_input(path: &str) -> (Stdio, Option<File>) {
    if path.is_empty() {
        return (Stdio::null(), None);
    }
    let reader = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).unwrap();
    let closer = OpenOptions::new().write(true).open(path).unwrap();
    // A process expects to wait for its input.
    let blocking = File::open(path).unwrap();
    drop(reader);
    (blocking.into(), Some(closer))
}

/// The write end for the process, and a read end, so that a client that leaves does not end it.
fn open_output(path: &str) -> (Stdio, Option<File>) {
    if path.is_empty() {
        return (Stdio::null(), None);
    }
    let reader =
        is_fifo(path).then(|| OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).unwrap());
    let writer = OpenOptions::new().append(true).open(path).unwrap();
    (writer.into(), reader)
}
