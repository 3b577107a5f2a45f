//! Running a runtime's command without blocking, with a deadline and bounded output.

use gantry_oci::{Runtime, RuntimeError, check};
use gantry_record::ContainerId;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// How long a command that only asks or signals may take. A start has its own limit, and a checkpoint a longer one.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The most that is kept of each output stream; a runtime that prints more is not slowed, only cut.
const MAX_OUTPUT_BYTES: u64 = 4 << 20;

/// Runs `command`, which is `operation` of `runtime` on `id`, and returns its standard output.
///
/// When the caller gives up (drops the future) or the limit passes, the command is killed.
///
/// # Errors
/// [`RuntimeError`] with what the runtime said.
pub async fn run(
    runtime: &Runtime,
    operation: &'static str,
    id: &ContainerId,
    command: Command,
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<Vec<u8>, RuntimeError> {
    let program = &runtime.program;
    let output = tokio::time::timeout(limit, output(command, input))
        .await
        .map_err(|_| RuntimeError::TimedOut {
            program: program.clone(),
            operation,
            id: id.clone(),
            seconds: limit.as_secs(),
        })?
        .map_err(|e| RuntimeError::spawn(program, e))?;
    check(operation, id, output)
}

/// What a command prints, bounded; it is killed when the caller gives up.
pub(crate) async fn output(command: Command, input: Option<&[u8]>) -> std::io::Result<Output> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A command that fails before it has read everything says so by its exit status.
            let _ = stdin.write_all(input).await;
        }
    };
    let (status, stdout, stderr, ()) = tokio::join!(child.wait(), bounded(stdout), bounded(stderr), feed);
    Ok(Output { status: status?, stdout: stdout?, stderr: stderr? })
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(MAX_OUTPUT_BYTES).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    async fn run_sh(script: &str, input: Option<&[u8]>, limit: Duration) -> Result<Vec<u8>, RuntimeError> {
        let id = ContainerId::new("x").unwrap();
        run(&Runtime::new("sh", vec![]), "test", &id, sh(script), input, limit).await
    }

    #[tokio::test]
    async fn returns_output_feeds_input_and_reports_failure() {
        assert_eq!(run_sh("cat; echo w >&2", Some(b"in"), LIMIT).await.unwrap(), b"in");
        let error = run_sh("echo no >&2; exit 3", None, LIMIT).await.unwrap_err();
        assert_eq!(error.to_string(), r#"exit status 3: "no\n""#);
    }

    #[tokio::test]
    async fn a_hanging_command_is_killed_and_output_is_bounded() {
        let error = run_sh("exec sleep 600", None, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, RuntimeError::TimedOut { .. }), "{error}");
        let output = run_sh("head -c 5000000 /dev/zero", None, LIMIT).await.unwrap();
        assert_eq!(output.len() as u64, MAX_OUTPUT_BYTES);
    }
}
