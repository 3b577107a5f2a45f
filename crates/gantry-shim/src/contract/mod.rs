//! Today's front: 0.2's shim contract, `shim ID BUNDLE RUNTIME` in the process's folder. With `--adopt` before them it
//! is the successor of a shim that died: the process runs already, and standard input is its terminal's master side.
//!
//! Everything that the shim is told comes from its arguments and the files of its working directory; all that
//! it reports goes there too. Whoever brings another front (containerd's shim v2) replaces this module and the
//! orchestration in `life`; the rest of the crate knows no protocol.

mod control;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod report;
mod start_marker;

pub(crate) use control::Control;
pub(crate) use report::{ExitPipe, Readiness, ShimLog};
pub(crate) use start_marker::StartMarker;

use crate::error::{Error, Result};
use gantry_record::{ContainerId, ProcessDir};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How to call the shim.
pub(crate) const USAGE: &str = "usage: gantry-shim [--adopt] ID BUNDLE RUNTIME   (in the process's folder)\n       \
                                gantry-shim --version";

/// Said of a shim that takes over from one that died.
const ADOPT: &str = "--adopt";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Print the version.
    Version,
    /// Stand beside a process.
    Run(Arguments),
}

/// How a shim comes to its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It has the runtime make it.
    Start,
    /// It takes over from a shim that died.
    Adoption,
}

/// The command line of a shim that stands beside a process.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// How to begin.
    pub(crate) origin: Origin,
    /// The container.
    pub(crate) id: ContainerId,
    /// Its bundle.
    pub(crate) bundle: PathBuf,
    /// Name or path of the OCI runtime.
    pub(crate) runtime: String,
}

/// Reads the command line, without the program's name; the error is what to tell the user.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Invocation, String> {
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.as_slice() {
        [only] if only == "--version" => Ok(Invocation::Version),
        [adopt, rest @ ..] if adopt == ADOPT => shim(Origin::Adoption, rest),
        all => shim(Origin::Start, all),
    }
}

fn shim(origin: Origin, arguments: &[OsString]) -> Result<Invocation, String> {
    match arguments {
        [id, bundle, runtime] => {
            let id = id.to_str().ok_or("the container id is not UTF-8")?;
            let id = ContainerId::new(id).map_err(|error| error.to_string())?;
            let runtime = runtime.to_str().ok_or("the runtime is not UTF-8")?.to_owned();
            if bundle.is_empty() || runtime.is_empty() {
                return Err("BUNDLE and RUNTIME must not be empty".to_owned());
            }
            Ok(Invocation::Run(Arguments { origin, id, bundle: PathBuf::from(bundle), runtime }))
        }
        other => Err(format!("expected 3 arguments, got {}", other.len())),
    }
}

/// The process's folder: by its relative name for the shim's own use, which survives its being moved, and by
/// its absolute path for the runtime.
pub(crate) struct Folder {
    /// `.`
    pub(crate) here: ProcessDir,
    /// As the kernel names it.
    pub(crate) absolute: ProcessDir,
}

impl Folder {
    /// The working directory.
    pub(crate) fn current() -> Result<Self> {
        let path = rustix::process::getcwd(Vec::new()).map_err(Error::setup("getcwd"))?;
        let path = PathBuf::from(<OsString as std::os::unix::ffi::OsStringExt>::from_vec(path.into_bytes()));
        Ok(Self { here: ProcessDir::new(Path::new(".").to_owned()), absolute: ProcessDir::new(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Invocation, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn three_words_are_a_shim() {
        let Ok(Invocation::Run(arguments)) = parse_words(&["c1", "/b", "runc"]) else { panic!("not run") };
        assert_eq!((arguments.id.as_str(), arguments.runtime.as_str()), ("c1", "runc"));
        assert_eq!(arguments.origin, Origin::Start);
        let adopted = parse_words(&["--adopt", "c1", "/b", "runc"]);
        assert!(matches!(adopted, Ok(Invocation::Run(Arguments { origin: Origin::Adoption, .. }))));
        assert!(matches!(parse_words(&["--version"]), Ok(Invocation::Version)));
    }

    #[test]
    fn anything_else_says_what_is_wrong() {
        for words in [
            &[][..],
            &["a", "b"],
            &["a", "b", "c", "d"],
            &["../a", "/b", "r"],
            &["a", "", "r"],
            &["--adopt", "a", "b"],
        ] {
            assert!(parse_words(words).is_err(), "{words:?}");
        }
    }
}
