//! Being attached to a process that ctr has started.
//!
//! Unlike with the modern client, signals end ctr and not the container, and so does the end of the daemon: status 129.

use rustix::stdio::{stderr, stdout};
use tokio::sync::mpsc;

use super::error::Error;
use super::follow::{Ending, Follower};
use crate::attach::Target;
use crate::attach::control::{Control, Request};
use crate::attach::fifo::Fifos;
use crate::attach::pump::{DrainSwitch, Note, drain_switch, spawn_input, spawn_output};
use crate::attach::signals::{Arrived, Signals};
use crate::attach::terminal::{RawMode, size, stdin_is_terminal};
use crate::signal::Signal;
use gantry_api::types::api_client::ApiClient;
use tonic::transport::Channel;

/// Notes of the copying threads that may wait.
const NOTES: usize = 16;

/// Everything that must be there before the process is started.
#[derive(Debug)]
pub(crate) struct Attached {
    target: Target,
    follower: Follower,
    signals: Signals,
    /// Ours while the process has it.
    terminal: Option<RawMode>,
    fifos: Fifos,
}

// === impl Attached ===

impl Attached {
    pub(crate) fn prepare(
        api: &ApiClient<Channel>,
        target: &Target,
        fifos: Fifos,
        terminal: bool,
    ) -> Result<Self, Error> {
        let signals = Signals::catch()?;
        let terminal = terminal.then(raw_terminal).transpose()?;
        let follower = Follower::start(api.clone(), target.clone());
        Ok(Self { target: target.clone(), follower, signals, terminal, fifos })
    }

    /// The process could not be started: passes on what the runtime has said into its stdio.
    pub(crate) fn give_up(self) {
        // Lines begin on the left again.
        drop(self.terminal);
        let stderr = self.fifos.stderr.iter().map(|fifo| (fifo, stderr()));
        for (fifo, to) in std::iter::once((&self.fifos.stdout, stdout())).chain(stderr) {
            // The error that follows says the same, should this fail.
            let _ = rustix::io::write(to, &fifo.leftover());
        }
    }

    /// Stays with the process, which runs by now, until it has ended and all of its output is copied.
    pub(crate) async fn wait(self, api: ApiClient<Channel>) -> Result<u8, Error> {
        let Self { target, mut follower, mut signals, terminal, fifos } = self;
        let mut control = Control::new();
        control.open(api, &target);
        let (note, mut notes) = mpsc::channel(NOTES);
        let (drain, mut open_outputs) = copy(fifos, terminal.is_some(), &note)?;
        let mut drain = Some(drain);
        let mut status = None;
        if terminal.is_some() {
            send_size(&control);
        }
        loop {
            if let (Some(status), 0) = (status, open_outputs) {
                // Statuses above 255 do not exist; a daemon that sends one means "unknown".
                return Ok(u8::try_from(status).unwrap_or(u8::MAX));
            }
            tokio::select! {
                ending = follower.ending(), if status.is_none() => match ending {
                    Ending::Exited { status: exited } => {
                        status = Some(exited);
                        drop(drain.take());
                    }
                    Ending::ConnectionClosed => return Ok(Signal::HUP.exit_status()),
                },
                arrived = signals.next() => match arrived {
                    Arrived::NewSize if terminal.is_some() => send_size(&control),
                    Arrived::NewSize => {}
                    Arrived::ForContainer(signal) => return Ok(signal.exit_status()),
                },
                Some(note) = notes.recv() => match note {
                    Note::InputEnded => control.send(Request::CloseStdin),
                    Note::OutputEnded => open_outputs -= 1,
                    Note::OutputBroken(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                        return Ok(Signal::PIPE.exit_status());
                    }
                    Note::OutputBroken(error) => return Err(Error::Output(error)),
                    Note::InterruptTyped | Note::StillWriting => {}
                },
            }
        }
    }
}

fn raw_terminal() -> Result<RawMode, Error> {
    if stdin_is_terminal() { Ok(RawMode::enter()?) } else { Err(Error::NoTerminal) }
}

/// Begins to copy; returns what ends the copying after the process's end, and the number of outputs.
fn copy(fifos: Fifos, terminal: bool, note: &mpsc::Sender<Note>) -> Result<(DrainSwitch, usize), Error> {
    let (drain, watch) = drain_switch()?;
    let mut outputs = 1;
    spawn_output("stdout", fifos.stdout.output, stdout(), watch.try_clone()?, note.clone())?;
    // A terminal has everything on stdout; the shim does not even open the other one.
    if let Some(fifo) = fifos.stderr.filter(|_| !terminal) {
        spawn_output("stderr", fifo.output, stderr(), watch, note.clone())?;
        outputs += 1;
    }
    if let Some(fifo) = fifos.stdin {
        // The shim reads by now.
        drop(fifo.placeholder);
        spawn_input(fifo.input, false, note.clone())?;
    }
    Ok((drain, outputs))
}

fn send_size(control: &Control) {
    if let Some(size) = size() {
        control.send(Request::Resize(size));
    }
}
