//! The command of a container: found, checked and executed inside it, with runc's words where that fails.
//!
//! Clients tell 127 from 126 by these texts, so they are exactly Go's: `exec: "x": executable file not found in $PATH`,
//! `exec: "/x": stat /x: no such file or directory`, `exec: "/x": permission denied`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libcontainer::container::{ContainerStatus, State};
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use oci_spec::runtime::{Hook, Spec};
use rustix::fs::{Access, FileType};
use rustix::termios::Winsize;

use crate::error::chain;
use crate::sys;

/// Where commands are looked for if the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Executes the command of a configuration.
#[derive(Clone)]
pub(crate) struct CommandExecutor {
    /// In the order of the configuration; a later one of the same name wins.
    env: Vec<String>,
    /// HOME is not in the configuration and is to be looked up in the container's passwd file.
    find_home: bool,
    found: RefCell<Option<PathBuf>>,
    /// Hooks to run just before the command, with the container's state.
    start_hooks: Option<(Vec<Hook>, State)>,
    /// The environment of hooks that have none of their own.
    hook_env: RefCell<HashMap<String, String>>,
}

impl CommandExecutor {
    /// Takes the environment of a configuration.
    ///
    /// HOME is set in the configuration if it lacks one: libcontainer would ask the C library, which in a static binary
    /// may load code from inside the container for that.
    pub(crate) fn new(spec: &mut Spec) -> Self {
        let mut env = Vec::new();
        let mut find_home = false;
        if let Some(process) = spec.process_mut() {
            env = process.env().clone().unwrap_or_default();
            find_home = variable(&env, "HOME").is_none_or(str::is_empty);
            if find_home {
                env.push("HOME=/".to_owned());
                process.set_env(Some(env.clone()));
            }
        }
        Self { env, find_home, found: RefCell::default(), start_hooks: None, hook_env: RefCell::default() }
    }

    /// Sets the hooks that run inside the container just before the command.
    pub(crate) fn set_start_hooks(&mut self, hooks: Option<Vec<Hook>>, state: State) {
        self.start_hooks = hooks.filter(|hooks| !hooks.is_empty()).map(|hooks| (hooks, state));
    }
}

impl Executor for CommandExecutor {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let refuse = |reason: String| ExecutorValidationError::ArgValidationError(reason);
        let process =
            spec.process().as_ref().ok_or_else(|| refuse("the configuration has no process".into()))?;
        let name = process.args().as_ref().and_then(|args| args.first());
        let name = name.ok_or_else(|| refuse("the configuration has no process.args".into()))?;
        let path = find(name, variable(&self.env, "PATH").unwrap_or(DEFAULT_PATH)).map_err(refuse)?;
        self.found.replace(Some(path));
        let terminal = process.terminal() == Some(true);
        if terminal {
            // This process leads a session by now. For an exec it is done already.
            let _ = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin());
        }
        if let Some(size) = process.console_size()
            && terminal
        {
            let cells = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
            let size = Winsize {
                ws_row: cells(size.height()),
                ws_col: cells(size.width()),
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            // A terminal without a size works; it is only a first guess.
            let _ = rustix::termios::tcsetwinsize(rustix::stdio::stdin(), size);
        }
        Ok(())
    }

    fn setup_envs(&self, env: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The environment goes to execve directly; this process's own stays as it is.
        if self.start_hooks.is_some() {
            self.hook_env.replace(env);
        }
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        let path = self.found.take().ok_or(ExecutorError::InvalidArg)?;
        if let Some((hooks, state)) = &self.start_hooks {
            let env = self.hook_env.borrow();
            let pid = Some(rustix::process::getpid().as_raw_nonzero().get());
            let state = State { status: ContainerStatus::Created, pid, ..state.clone() };
            libcontainer::hooks::run_hooks(Some(hooks), Some(&state), None, None, Some(&env))
                .map_err(|e| ExecutorError::Other(format!("startContainer hook failed: {}", chain(&e))))?;
        }
        let mut env = last_of_each(&self.env);
        if self.find_home {
            let home = home_of(process.user().uid());
            env.retain(|entry| !entry.starts_with("HOME="));
            env.push(format!("HOME={home}"));
        }
        let c = |text: &[u8]| CString::new(text).map_err(|_| ExecutorError::InvalidArg);
        let args = process.args().iter().flatten().map(|a| c(a.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let env = env.iter().map(|e| c(e.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let file = c(path.as_os_str().as_bytes())?;
        sys::reset_signals();
        let error = sys::execve(&file, &args, &env);
        Err(ExecutorError::Other(format!("exec {}: {}", path.display(), reason(&error))))
    }
}

/// Finds a command as Go's `exec.LookPath` does.
fn find(name: &str, path: &str) -> Result<PathBuf, String> {
    let told = |reason: String| format!("exec: {name:?}: {reason}");
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(name.into()),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(told(reason(&e))),
            Err(e) => Err(told(format!("stat {name}: {}", reason(&e)))),
        };
    }
    // Directories that are relative would depend on the working directory, so they do not count.
    let directories = path.split(':').filter(|directory| directory.starts_with('/'));
    let mut candidates = directories.map(|directory| Path::new(directory).join(name));
    let found = candidates.find(|candidate| !name.is_empty() && executable(candidate).is_ok());
    found.ok_or_else(|| told("executable file not found in $PATH".to_owned()))
}

/// Whether this process may execute a file.
fn executable(path: &Path) -> io::Result<()> {
    // Not by `std`, whose statx the container's seccomp filter may refuse.
    let mode = rustix::fs::stat(path)?.st_mode;
    // Root may do everything but execute what nobody may.
    if FileType::from_raw_mode(mode).is_dir() || mode & 0o111 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    match rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, rustix::fs::AtFlags::EACCESS) {
        Err(rustix::io::Errno::ACCESS) => Err(io::ErrorKind::PermissionDenied.into()),
        // The container's seccomp filter may not know the call and refuse it; then execve will tell.
        _ => Ok(()),
    }
}

/// The kernel's reason in lower case and without Rust's number after it, as Go prints it.
fn reason(error: &io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(libc::ENOENT) => "no such file or directory".to_owned(),
        Some(libc::EACCES) => "permission denied".to_owned(),
        Some(libc::ENOEXEC) => "exec format error".to_owned(),
        Some(libc::ENOTDIR) => "not a directory".to_owned(),
        _ => error.to_string(),
    };
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The value that a variable has.
fn variable<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// Drops entries that a later one of the same name replaces.
fn last_of_each(env: &[String]) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<String> = env.iter().rev().filter(|entry| seen.insert(name(entry))).cloned().collect();
    kept.reverse();
    kept
}

/// The home directory of a user by the passwd file of the container that this process is in, else the root.
fn home_of(uid: u32) -> String {
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    home_in(&passwd, uid).unwrap_or_else(|| "/".to_owned())
}

fn home_in(passwd: &[u8], uid: u32) -> Option<String> {
    let wanted = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        // name:password:uid:gid:gecos:home:shell
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let home = (fields.get(2) == Some(&wanted.as_bytes())).then(|| fields.get(5).copied())??;
        let home = OsStr::from_bytes(home).to_str().filter(|home| home.starts_with('/'))?;
        Some(home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_missing_is_told_in_runcs_words() {
        let error = |name| find(name, "/bin:/usr/bin").unwrap_err();
        assert_eq!(error("NoSuchFile"), "exec: \"NoSuchFile\": executable file not found in $PATH");
        assert_eq!(error("/nope"), "exec: \"/nope\": stat /nope: no such file or directory");
        assert_eq!(error("/etc/passwd"), "exec: \"/etc/passwd\": permission denied");
        assert_eq!(error("/etc"), "exec: \"/etc\": permission denied");
        assert_eq!(error(""), "exec: \"\": executable file not found in $PATH");
    }

    #[test]
    fn path_is_searched_in_order_without_relative_directories() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        fs::write(&tool, "").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", &format!("/nope:{}", dir.path().display())).unwrap(), tool);
        assert!(find("tool", ".:").is_err());
    }

    #[test]
    fn the_last_of_equal_names_wins_in_its_place() {
        let env = ["A=1", "B=2", "A=3"].map(str::to_owned);
        assert_eq!(last_of_each(&env), ["B=2", "A=3"]);
        assert_eq!(variable(&env, "A"), Some("3"));
    }

    #[test]
    fn home_comes_from_passwd() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbad\nu:x:1000:1000::/home/u:/bin/sh\n";
        assert_eq!(home_in(passwd, 1000).as_deref(), Some("/home/u"));
        assert_eq!(home_in(passwd, 7), None);
    }
}
