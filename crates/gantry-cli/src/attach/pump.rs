//! Copying bytes between the client's own stdio and the FIFOs: one thread per stream.
//!
//! Plain threads, because the other side may block for ever (a terminal, a pager) and because the bytes deserve the shortest way.
//! They tell the session what happens through [`Note`]s, and end with the client.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::mpsc;

use crate::error::Error;

/// As much as a FIFO holds.
const BUFFER_BYTES: usize = 64 << 10;

/// After the process has ended: how long to wait for more output. The shim has closed its end by then, so that this only
/// counts if something is wrong.
const DRAIN: Duration = Duration::from_secs(2);

/// After our own output was closed: how long the container's process may take to notice.
const NOTICE: Duration = Duration::from_secs(1);

/// Ctrl-C, as a terminal in raw mode sends it.
const INTERRUPT: u8 = 0x03;

/// What the session is told.
#[derive(Debug)]
pub(crate) enum Note {
    /// The end of our own input.
    InputEnded,
    /// Ctrl-C was typed into a raw terminal (and passed on).
    InterruptTyped,
    /// Nobody reads our own output any more, or it cannot be written.
    OutputBroken(io::Error),
    /// The container goes on writing although nobody reads.
    StillWriting,
    /// All of one output stream was copied.
    OutputEnded,
}

/// Tells the output threads that the process has ended, when dropped.
#[derive(Debug)]
pub(crate) struct DrainSwitch(#[expect(dead_code, reason = "closing it is the message")] OwnedFd);

/// The side of the switch that the threads watch.
#[derive(Debug)]
pub(crate) struct DrainWatch(OwnedFd);

/// A pair of the two.
pub(crate) fn drain_switch() -> Result<(DrainSwitch, DrainWatch), Error> {
    let (watch, switch) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::system("make a pipe", errno.into()))?;
    Ok((DrainSwitch(switch), DrainWatch(watch)))
}

// === impl DrainWatch ===

impl DrainWatch {
    pub(crate) fn try_clone(&self) -> Result<Self, Error> {
        self.0.try_clone().map(Self).map_err(|error| Error::system("copy a descriptor", error))
    }
}

// === input ===

/// Copies our stdin into the FIFO until either ends, and then closes the FIFO.
pub(crate) fn spawn_input(fifo: OwnedFd, raw: bool, notes: mpsc::Sender<Note>) -> Result<(), Error> {
    spawn("stdin", move || {
        let mut buffer = vec![0; BUFFER_BYTES];
        let stdin = rustix::stdio::stdin();
        while let Ok(count @ 1..) = read_blocking(stdin, &mut buffer) {
            let bytes = &buffer[..count];
            if write_all(fifo.as_fd(), bytes).is_err() {
                break;
            }
            if raw && bytes.contains(&INTERRUPT) {
                // Only matters when the session is stuck; a full queue does not.
                let _ = notes.try_send(Note::InterruptTyped);
            }
        }
        drop(fifo);
        let _ = notes.blocking_send(Note::InputEnded);
    })
}

// === output ===

/// Copies a FIFO to our stdout or stderr until its end.
pub(crate) fn spawn_output(
    name: &str,
    fifo: OwnedFd,
    to: BorrowedFd<'static>,
    drain: DrainWatch,
    notes: mpsc::Sender<Note>,
) -> Result<(), Error> {
    spawn(name, move || {
        copy_output(&fifo, to, drain, &notes);
        let _ = notes.blocking_send(Note::OutputEnded);
    })
}

fn copy_output(fifo: &OwnedFd, to: BorrowedFd<'_>, drain: DrainWatch, notes: &mpsc::Sender<Note>) {
    let mut drain = Some(drain);
    let mut sink = Sink::Open;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if !wait_readable(fifo, &mut drain) {
            return;
        }
        match rustix::io::read(fifo, &mut buffer) {
            Ok(0) => return,
            Ok(count) => sink.write(to, &buffer[..count], notes),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Waits for bytes or the end of file. Once the process has ended, the wait has a limit; false when it is reached.
fn wait_readable(fifo: &OwnedFd, drain: &mut Option<DrainWatch>) -> bool {
    loop {
        let watched = drain.as_ref().map_or_else(|| fifo.as_fd(), |drain| drain.0.as_fd());
        let mut fds = [PollFd::new(fifo, PollFlags::IN), PollFd::from_borrowed_fd(watched, PollFlags::IN)];
        let limit = drain.is_none().then(|| Timespec::try_from(DRAIN)).and_then(Result::ok);
        match poll(&mut fds, limit.as_ref()) {
            Ok(0) => return false,
            Ok(_) if !fds[0].revents().is_empty() => return true,
            // The switch was dropped.
            Ok(_) => *drain = None,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Our own output. When it breaks, the container's output is still read, so that the container does not block for ever.
enum Sink {
    Open,
    Broken { since: Instant },
    Told,
}

impl Sink {
    fn write(&mut self, to: BorrowedFd<'_>, bytes: &[u8], notes: &mpsc::Sender<Note>) {
        match self {
            Self::Open => {
                if let Err(errno) = write_all(to, bytes) {
                    *self = Self::Broken { since: Instant::now() };
                    let _ = notes.blocking_send(Note::OutputBroken(errno.into()));
                }
            }
            Self::Broken { since } if since.elapsed() > NOTICE => {
                *self = Self::Told;
                let _ = notes.blocking_send(Note::StillWriting);
            }
            Self::Broken { .. } | Self::Told => {}
        }
    }
}

// === plain input and output ===

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map(drop).map_err(|error| Error::system("start a thread", error))
}

/// Reads even if somebody made the descriptor non-blocking, as a program that shares our terminal may.
fn read_blocking(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::read(from, &mut *buffer) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(from, PollFlags::IN)?,
            result => return result,
        }
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(to, PollFlags::OUT)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn wait(fd: BorrowedFd<'_>, flags: PollFlags) -> Result<(), Errno> {
    match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::fifo::{Fifos, Wanted};
    use std::io::Read;

    /// A FIFO as the shim would open it, and the thread that copies it into a pipe.
    fn output() -> (std::fs::File, std::fs::File, DrainSwitch, mpsc::Receiver<Note>, tempfile::TempDir) {
        let temp = tempfile::tempdir().unwrap();
        let fifos = Fifos::create(temp.path(), "init", Wanted { stdin: false, stderr: false }).unwrap();
        let [_, path, _] = fifos.paths();
        let writer = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        let (local, to) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (switch, watch) = drain_switch().unwrap();
        let (sender, notes) = mpsc::channel(8);
        thread::spawn(move || {
            let fifo = fifos.stdout;
            copy_output(&fifo.output, to.as_fd(), watch, &sender);
            let _ = sender.blocking_send(Note::OutputEnded);
        });
        (writer, std::fs::File::from(local), switch, notes, temp)
    }

    #[test]
    fn output_is_whole_when_the_writer_closes() {
        let (mut writer, mut local, switch, mut notes, _temp) = output();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            local.read_to_end(&mut all).unwrap();
            all.len()
        });
        io::Write::write_all(&mut writer, &vec![b'x'; 300_000]).unwrap();
        drop(switch);
        drop(writer);
        assert!(matches!(notes.blocking_recv(), Some(Note::OutputEnded)));
        assert_eq!(reader.join().unwrap(), 300_000);
    }

    #[test]
    fn a_writer_that_never_closes_does_not_hang_us() {
        let (mut writer, mut local, switch, mut notes, _temp) = output();
        io::Write::write_all(&mut writer, b"last words").unwrap();
        drop(switch);
        assert!(matches!(notes.blocking_recv(), Some(Note::OutputEnded)));
        let mut all = String::new();
        local.read_to_string(&mut all).unwrap();
        assert_eq!(all, "last words");
    }

    #[test]
    fn a_closed_output_is_told_and_drained() {
        let (mut writer, local, _switch, mut notes, _temp) = output();
        drop(local);
        io::Write::write_all(&mut writer, b"x").unwrap();
        let Some(Note::OutputBroken(error)) = notes.blocking_recv() else { panic!("no note") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        // More than the FIFO holds: it must be read, or this would block.
        io::Write::write_all(&mut writer, &vec![b'x'; 300_000]).unwrap();
        thread::sleep(NOTICE + Duration::from_millis(50));
        io::Write::write_all(&mut writer, b"x").unwrap();
        assert!(matches!(notes.blocking_recv(), Some(Note::StillWriting)));
    }
}
