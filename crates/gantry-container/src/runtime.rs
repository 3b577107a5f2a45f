//! Running a runtime's command without blocking, with a deadline and bounded output.

use crate::resident::Resident;
use gantry_oci::{Runtime, RuntimeError, check};
use gantry_record::{ContainerId, failpoint};
use rustix::pipe::PipeFlags;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

/// How long a command that only asks or signals may take. A start has its own limit, and a checkpoint a longer one.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often a container is deleted by its runtime where that is killed meanwhile: for want of memory, say. What is left then
/// would be looked at by nobody.
const DELETE_ATTEMPTS: u32 = 3;

/// The most that is kept of each output stream; a runtime that prints more is not slowed, only cut.
const MAX_OUTPUT_BYTES: u64 = 4 << 20;

/// Runs `command`, which is `operation` of `runtime` on `id`, and returns its standard output. Where `resident` has that
/// runtime in it, nothing is executed.
///
/// When the caller gives up (drops the future) or the limit passes, the command is killed.
///
/// # Errors
/// [`RuntimeError`] with what the runtime said.
pub async fn run(
    runtime: &Runtime,
    resident: Option<&Resident>,
    operation: &'static str,
    id: &ContainerId,
    command: Command,
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<Vec<u8>, RuntimeError> {
    let program = &runtime.program;
    let resident = resident.filter(|resident| resident.is(program));
    failpoint::io("daemon::runtime::run").map_err(|e| RuntimeError::spawn(program, e.into()))?;
    let output = tokio::time::timeout(limit, output(resident, command, input))
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

/// Makes `runtime` forget a container, whatever state that is in; one that it does not know (any more) is fine.
///
/// # Errors
/// [`RuntimeError`] with what the runtime said.
pub async fn delete(
    runtime: &Runtime,
    resident: Option<&Resident>,
    id: &ContainerId,
) -> Result<(), RuntimeError> {
    let mut attempts = DELETE_ATTEMPTS;
    loop {
        attempts -= 1;
        match run(runtime, resident, "delete", id, runtime.delete(id, true), None, LIMIT).await {
            Err(error) if error.is_unknown_container() => return Ok(()),
            Err(error) if error.was_killed() && attempts > 0 => {}
            result => return result.map(drop),
        }
    }
}

/// What a command prints, bounded; it is killed when the caller gives up. Where `resident` has that program in it, nothing is
/// executed.
pub(crate) async fn output(
    resident: Option<&Resident>,
    command: Command,
    input: Option<&[u8]>,
) -> io::Result<Output> {
    if let Some(resident) = resident
        && let Some(output) = forked_output(resident, &command, input).await?
    {
        return Ok(output);
    }
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

/// `None` if the command has to be executed instead.
async fn forked_output(
    resident: &Resident,
    command: &Command,
    input: Option<&[u8]>,
) -> io::Result<Option<Output>> {
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let ((out_read, out_write), (err_read, err_write)) = (pipe()?, pipe()?);
    let (in_read, in_write) = match input {
        Some(_) => pipe().map(|(read, write)| (read, Some(write)))?,
        None => (OwnedFd::from(std::fs::File::open("/dev/null")?), None),
    };
    let arguments = command.get_args().map(OsString::from).collect();
    let Some(mut forked) = resident.run(arguments, [&in_read, &out_write, &err_write]).await else {
        return Ok(None);
    };
    // Only the command's own ends are left.
    drop((in_read, out_write, err_write));
    let (out_read, err_read) =
        (pipe::Receiver::from_owned_fd(out_read)?, pipe::Receiver::from_owned_fd(err_read)?);
    let feed = async {
        if let (Some(stdin), Some(input)) = (in_write, input)
            && let Ok(mut stdin) = pipe::Sender::from_owned_fd(stdin)
        {
            // A command that fails before it has read everything says so by its exit status.
            let _ = stdin.write_all(input).await;
        }
    };
    let (status, stdout, stderr, ()) =
        tokio::join!(forked.wait(), bounded(Some(out_read)), bounded(Some(err_read)), feed);
    Ok(Some(Output { status: status?, stdout: stdout?, stderr: stderr? }))
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
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
        run(&Runtime::new("sh", vec![]), None, "test", &id, sh(script), input, limit).await
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
