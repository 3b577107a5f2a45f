//! What a runtime's failure becomes.
//!
//! Clients of 0.2 match on these texts, so the runtime's own words pass through unchanged.

use gantry_record::ContainerId;
use std::io;
use std::process::{ExitStatus, Output};

/// A runtime command that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such program.
    #[error("{program} not installed on system")]
    NotInstalled {
        /// Name or path as configured.
        program: String,
    },
    /// It could not be executed, for another reason.
    #[error("cannot run {program}: {source}")]
    Spawn {
        /// Name or path as configured.
        program: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// It ran and said no. The form is Go's `exec.ExitError` with the quoted output, as 0.2 sent it.
    #[error("{}: {output:?}", exit_text(*.status))]
    Failed {
        /// Which operation on which container.
        operation: &'static str,
        /// The container.
        id: ContainerId,
        /// How the command ended.
        status: ExitStatus,
        /// What it printed, both streams.
        output: String,
    },
    /// It took longer than it may.
    #[error("{program} {operation} {id} did not finish within {seconds} s and was killed")]
    TimedOut {
        /// Name or path as configured.
        program: String,
        /// Which operation.
        operation: &'static str,
        /// The container.
        id: ContainerId,
        /// The limit.
        seconds: u64,
    },
    /// It printed something that is not what it should print.
    #[error("unexpected output of the runtime's {operation} for {id}: {reason}")]
    Output {
        /// Which operation.
        operation: &'static str,
        /// The container.
        id: ContainerId,
        /// What is wrong with it.
        reason: String,
    },
}

impl RuntimeError {
    /// Classifies a failure to execute `program`.
    #[must_use]
    pub fn spawn(program: &str, source: io::Error) -> Self {
        let program = program.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotInstalled { program },
            _ => Self::Spawn { program, source },
        }
    }

    /// Whether the runtime said that it knows no such container.
    #[must_use]
    pub fn is_unknown_container(&self) -> bool {
        matches!(self, Self::Failed { output, .. } if output.contains("does not exist"))
    }

    /// Whether a signal ended it, so that nobody knows how far it came: the same may succeed when it is done again.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        matches!(self, Self::Failed { status, .. } if status.signal().is_some())
    }

    /// What the runtime printed, if it ran at all.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        match self {
            Self::Failed { output, .. } => Some(output),
            _ => None,
        }
    }
}

/// Turns what a command printed into its standard output, or into the error that it is.
///
/// # Errors
/// [`RuntimeError::Failed`] for any end but exit code 0.
pub fn check(operation: &'static str, id: &ContainerId, output: Output) -> Result<Vec<u8>, RuntimeError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut both = output.stdout;
    both.extend_from_slice(&output.stderr);
    let output_text = String::from_utf8_lossy(&both).into_owned();
    Err(RuntimeError::Failed { operation, id: id.clone(), status: output.status, output: output_text })
}

fn exit_text(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(signal)) => format!("signal: {signal}"),
        (None, None) => "unknown exit status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn output(raw: i32, stdout: &str, stderr: &str) -> Output {
        Output { status: ExitStatus::from_raw(raw), stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn a_failure_reads_as_0_2_sent_it() {
        let id = ContainerId::new("x").unwrap();
        let error = check("pause", &id, output(1 << 8, "", "container \"x\" does not exist\n")).unwrap_err();
        assert_eq!(error.to_string(), r#"exit status 1: "container \"x\" does not exist\n""#);
        assert!(error.is_unknown_container());
        let error = check("pause", &id, output(9, "", "")).unwrap_err();
        assert_eq!(error.to_string(), r#"signal: killed: """#);
        assert!(error.was_killed());
    }

    #[test]
    fn success_is_standard_output_alone() {
        let id = ContainerId::new("x").unwrap();
        assert_eq!(check("ps", &id, output(0, "[1]", "a warning")).unwrap(), b"[1]");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = RuntimeError::spawn("runq", io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(error.to_string(), "runq not installed on system");
    }
}
