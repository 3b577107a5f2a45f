//! What can go wrong in the client, how it reads, and which exit status it gives.
//!
//! Each error is one line, "what failed: why", and most have a hint: what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};

use gantry_api::client::ConnectError;
use tonic::{Code, Status};

/// The exit status of a command line that makes no sense.
const USAGE: u8 = 2;
/// Exit statuses of `run` and `exec` for a command that exists but cannot be run, and for one that does not exist,
/// as a shell has them.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The daemon cannot be reached.
    #[error("{}", connect_text(.0))]
    Connect(#[from] ConnectError),
    /// The daemon said no.
    #[error("cannot {step}: {}", daemon_text(.status))]
    Refused { step: String, status: Box<Status> },
    /// The daemon could not start a command.
    #[error("cannot {step}: {}", daemon_text(.status))]
    Start { step: String, command: String, status: Box<Status> },
    /// The system said no.
    #[error("cannot {step}: {}", system_text(.source))]
    System { step: String, source: io::Error },
    /// The system said no about a file.
    #[error("cannot {step} {}: {}", .path.display(), system_text(.source))]
    File { step: &'static str, path: PathBuf, source: io::Error },
    /// What was asked for cannot be done.
    #[error("{problem}")]
    Impossible { problem: String, hint: String },
    /// Arguments that contradict each other.
    #[error("{problem}")]
    Usage { problem: String, hint: String },
    /// Nobody can say how the process ended.
    #[error("{0}")]
    StatusUnknown(String),
    /// Standard output is gone.
    #[error("cannot write the output: {}", system_text(.0))]
    Output(io::Error),
}

// === impl Error ===

impl Error {
    pub(crate) fn refused(step: impl Into<String>, status: Status) -> Self {
        Self::Refused { step: step.into(), status: Box::new(status) }
    }

    pub(crate) fn system(step: impl Into<String>, source: io::Error) -> Self {
        Self::System { step: step.into(), source }
    }

    pub(crate) fn file(step: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File { step, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn impossible(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Impossible { problem: problem.into(), hint: hint.into() }
    }

    pub(crate) fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { problem: problem.into(), hint: hint.into() }
    }

    pub(crate) fn no_such_container(id: &str) -> Self {
        Self::impossible(
            format!("there is no container `{id}`"),
            "`gantry ps -a` lists containers, ended ones too",
        )
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(ConnectError::Unreachable { hint, .. }) => Some((*hint).to_owned()),
            Self::Refused { status, .. } | Self::Start { status, .. } => {
                daemon_hint(status).map(str::to_owned)
            }
            Self::Impossible { hint, .. } | Self::Usage { hint, .. } => Some(hint.clone()),
            _ => None,
        }
    }

    /// The exit status of the client, where `failure` is what the command ends with by default.
    pub(crate) fn exit_status(&self, failure: u8) -> u8 {
        match self {
            Self::Usage { .. } => USAGE,
            // The reader of our output left early, as `head` does: that is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Start { command, status, .. } => start_status(status.message(), command).unwrap_or(failure),
            Self::StatusUnknown(_) => u8::MAX,
            _ => failure,
        }
    }

    /// Whether there is nothing to tell the user.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the daemon may have done what was asked although it could not answer.
    pub(crate) fn is_uncertain(&self) -> bool {
        match self {
            Self::Refused { status, .. } | Self::Start { status, .. } => is_connection_loss(status),
            _ => false,
        }
    }
}

/// Whether a call failed because the connection did, and not because the daemon refused it.
pub(crate) fn is_connection_loss(status: &Status) -> bool {
    use std::error::Error as _;
    // What the daemon sends has no source on our side; what tonic makes up from a broken connection has one.
    status.code() == Code::Unavailable || status.source().is_some()
}

/// Whether the daemon says that the container, or the process, is not there (any more).
pub(crate) fn is_not_found(status: &Status) -> bool {
    let text = status.message();
    ["container not found", "no such container", "process not found", "no such process"]
        .iter()
        .any(|known| text.contains(known))
}

// === texts ===

fn connect_text(error: &ConnectError) -> String {
    match error {
        ConnectError::Unreachable { address, cause, .. } => {
            format!("cannot reach gantryd at {address}: {cause}")
        }
        ConnectError::BadAddress { .. } => error.to_string(),
    }
}

/// The daemon's text without the prefix that it keeps for clients of containerd.
fn daemon_text(status: &Status) -> String {
    if status.message() == "Timeout expired" {
        return "the daemon did not answer in time".to_owned();
    }
    if is_connection_loss(status) {
        return "the connection to the daemon broke".to_owned();
    }
    let text = status.message();
    let text = text.strip_prefix("containerd: ").unwrap_or(text).trim_end();
    if text.is_empty() { format!("the daemon answered {:?}", status.code()) } else { text.to_owned() }
}

/// The system's text without "(os error 2)".
pub(crate) fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

fn daemon_hint(status: &Status) -> Option<&'static str> {
    let text = status.message();
    if is_connection_loss(status) {
        return Some("is gantryd still running? `gantry version` tells");
    }
    if ["container not found", "no such container"].iter().any(|known| text.contains(known)) {
        return Some("`gantry ps -a` lists containers, ended ones too");
    }
    if text.contains("process not found") {
        return Some("`gantry ps` lists the processes of a container");
    }
    if text.contains("not installed on system") {
        return Some("install it, or name another runtime with --runtime");
    }
    if text.contains("unrecognized subcommand") {
        return Some("the container's OCI runtime cannot do that: another one, such as runc, may");
    }
    if text.contains("cgroups in hybrid mode not supported") {
        return Some(
            "crun cannot work with this machine's cgroups: use --runtime runc, or none for the built-in one",
        );
    }
    if ["executable file not found", "not found in $PATH"].iter().any(|known| text.contains(known)) {
        return Some("is the command in the container's root filesystem, and in the container's PATH?");
    }
    if text.to_lowercase().contains("permission denied") {
        return Some("may the user of the container execute it? `ls -l` on the file tells");
    }
    match status.code() {
        Code::AlreadyExists => Some("choose another name, or remove the old one with `gantry rm`"),
        Code::Unimplemented => {
            Some("this daemon does not know the call; `gantry version` tells which one it is")
        }
        _ => None,
    }
}

/// The exit status for a command that could not be started, by what the runtime said, as dockerd decides it.
fn start_status(text: &str, command: &str) -> Option<u8> {
    let (text, command) = (text.to_lowercase(), command.to_lowercase());
    if text.contains("executable file not found") || text.contains("not found in $path") {
        return Some(NOT_FOUND);
    }
    if names(&text, &command) && text.contains("no such file or directory") {
        return Some(NOT_FOUND);
    }
    if text.contains("permission denied") {
        return Some(NOT_EXECUTABLE);
    }
    None
}

/// Whether `text` has `word` as a whole word: `sh` is not named by `/run/shared/config.json`.
fn names(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "/_-.".contains(c);
    !word.is_empty()
        && text
            .match_indices(word)
            .any(|(at, _)| !text[..at].ends_with(inside) && !text[at + word.len()..].starts_with(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str, command: &str) -> Error {
        Error::Start {
            step: "run x".into(),
            command: command.into(),
            status: Box::new(Status::unknown(text)),
        }
    }

    #[test]
    fn a_failed_start_gives_the_status_of_a_shell() {
        let cases = [
            (r#"oci runtime error: exec: "nope": executable file not found in $PATH"#, "nope", 127),
            (r#"exec: "/bin/nope": stat /bin/nope: no such file or directory"#, "/bin/nope", 127),
            ("executable file `nope` not found in $PATH: No such file or directory", "nope", 127),
            (r#"exec: "/etc/passwd": permission denied"#, "/etc/passwd", 126),
            ("open executable: Permission denied", "/etc/passwd", 126),
            ("open /run/sh-1/config.json: no such file or directory", "sh", 125),
            ("runc not installed on system", "sh", 125),
            ("containerd: container did not start before the specified timeout", "sh", 125),
        ];
        for (text, command, status) in cases {
            assert_eq!(start(text, command).exit_status(125), status, "{text}");
        }
    }

    #[test]
    fn texts_have_no_protocol_noise() {
        let error = Error::refused("signal web", Status::unknown("containerd: container not found"));
        assert_eq!(error.to_string(), "cannot signal web: container not found");
        assert_eq!(error.hint().unwrap(), "`gantry ps -a` lists containers, ended ones too");
        let error = Error::file("read", Path::new("/x"), io::Error::from_raw_os_error(2));
        assert_eq!(error.to_string(), "cannot read /x: no such file or directory");
    }

    #[test]
    fn statuses() {
        assert_eq!(Error::usage("a", "b").exit_status(125), 2);
        assert_eq!(Error::refused("x", Status::internal("y")).exit_status(125), 125);
        let gone = Error::Output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(gone.is_silent());
        assert_eq!(gone.exit_status(1), 0);
        assert_eq!(Error::StatusUnknown("x".into()).exit_status(125), 255);
    }

    #[test]
    fn a_lost_connection_is_told_from_a_refusal() {
        assert!(Error::refused("x", Status::unavailable("gone")).is_uncertain());
        assert!(!Error::refused("x", Status::already_exists("mkdir /x: file exists")).is_uncertain());
    }
}
