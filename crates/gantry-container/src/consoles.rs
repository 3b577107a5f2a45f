//! Which way to a terminal a runtime knows: a socket to send it to, or the path of one (`--console`, the line of
//! dockerd 1.11 to 17.03). `RUNTIME create --help` tells, and is asked once for each program that is there.

use crate::{program, runtime};
use gantry_oci::Runtime;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// How long a runtime may take to say what flags it has.
const LIMIT: Duration = Duration::from_secs(5);
/// Programs that are remembered. Clients name the program, so that there must be a bound.
const MAX_PROGRAMS: usize = 64;

/// What is known of the runtimes that were used for terminals. Cheap to clone; all clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Consoles(Arc<Mutex<BTreeMap<Program, bool>>>);

/// A program as it is on disk now: one that is replaced is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Program {
    path: PathBuf,
    /// Device, inode, size, and time of the last change in nanoseconds.
    version: [i128; 4],
}

impl Program {
    fn find(name: &str) -> Option<Self> {
        let (path, file) = program::find(name)?;
        let modified = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
        let version = [file.dev().into(), file.ino().into(), file.size().into(), modified];
        Some(Self { path, version })
    }
}

impl Consoles {
    /// Whether `runtime` wants a terminal's path. One that cannot say is taken for one of today, which wants a socket.
    pub(crate) async fn wants_path(&self, runtime: &Runtime) -> bool {
        // What is not there fails soon enough, with a better reason.
        let Some(program) = Program::find(&runtime.program) else { return false };
        if let Some(known) = self.known(&program) {
            return known;
        }
        let asked = tokio::time::timeout(LIMIT, runtime::output(None, runtime.help("create"), None)).await;
        let Ok(Ok(output)) = asked else {
            warn!(runtime = runtime.program, "the runtime does not say which flags it has");
            return false;
        };
        let wants_path = tells_of_path(&output.stdout) || tells_of_path(&output.stderr);
        if wants_path {
            info!(runtime = runtime.program, "the runtime takes a terminal by its path");
        }
        self.remember(program, wants_path);
        wants_path
    }

    fn known(&self, program: &Program) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(program).copied()
    }

    fn remember(&self, program: Program, wants_path: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_PROGRAMS {
            known.clear();
        }
        known.insert(program, wants_path);
    }
}

/// Whether a help text has the flag `--console` and not the one that took its place.
fn tells_of_path(help: &[u8]) -> bool {
    let help = String::from_utf8_lossy(help);
    let mut flags = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    flags.clone().any(|flag| flag == "--console") && !flags.any(|flag| flag == "--console-socket")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn help_texts_of_both_generations() {
        let rc2 = b"OPTIONS:\n   --bundle value, -b value\n   --console value   specify the pty slave path\n";
        assert!(tells_of_path(rc2));
        let today =
            b"   --console-socket value  path to an AF_UNIX socket that receives the console's master\n";
        assert!(!tells_of_path(today));
        assert!(!tells_of_path(&[&rc2[..], &today[..]].concat()));
        assert!(!tells_of_path(b""));
    }

    #[tokio::test]
    async fn each_version_of_a_program_is_asked_once() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("runtime");
        let install = |flag: &str| {
            let script = format!("#!/bin/sh\necho asked >>$0.log\necho \"$* {flag}\"\n");
            let new = folder.path().join("new");
            fs::write(&new, script).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(new, &program).unwrap();
        };
        let runtime = Runtime::new(program.to_str().unwrap(), vec!["--root=/x".to_owned()]);
        let consoles = Consoles::default();
        install("--console value");
        for _ in 0..3 {
            assert!(consoles.clone().wants_path(&runtime).await);
        }
        install("--console-socket value");
        for _ in 0..3 {
            assert!(!consoles.wants_path(&runtime).await);
        }
        assert_eq!(fs::read_to_string(program.with_extension("log")).unwrap(), "asked\nasked\n");
        let missing = Runtime::new("/no/such/runtime", vec![]);
        assert!(!consoles.wants_path(&missing).await);
    }
}
