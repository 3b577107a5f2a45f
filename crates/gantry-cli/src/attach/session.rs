//! The loop of an attached client: what happens, and what is done about it.

use std::io;
use std::pin::pin;
use std::time::Duration;

use gantry_api::types::Event;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::control::{Control, Request};
use super::fifo::{FifoPath, Fifos};
use super::pump::{DrainSwitch, Note, drain_switch, spawn_input, spawn_output};
use super::signals::Arrived;
use super::terminal::{self, RawMode};
use super::{Attached, Ending, Stdio, Target};
use crate::client::Client;
use crate::error::{Error, system_text};
use crate::events::{EXIT, Exit, Notice, START_CONTAINER, START_PROCESS};
use crate::id::INIT;
use crate::signal::Signal;
use crate::{output, when};

/// Ctrl-C this often, each within the pause after the one before, leaves a process that does not react.
const INTERRUPTS_TO_LEAVE: u32 = 3;
const INTERRUPT_PAUSE: Duration = Duration::from_secs(2);

/// A daemon that comes back within this time is not worth a message.
const QUIET_LOSS: Duration = Duration::from_secs(2);

/// With the daemon gone and all output closed, nobody will tell the status; wait this long for a daemon to come back.
const LONGEST_LOSS: Duration = Duration::from_secs(30);

/// After the daemon came back: when to ask whether the process is still there, in case that its exit got lost.
const VERIFY_AFTER: Duration = Duration::from_secs(3);

/// How long an exit event may lag behind other signs that the process has ended.
const EXIT_GRACE: Duration = Duration::from_secs(3);

/// After our terminal was closed: how long the process may take to end.
const HANGUP_GRACE: Duration = Duration::from_secs(2);

/// Notes of the copying threads that may wait for the session.
const NOTES: usize = 16;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    TellLoss,
    GiveUp,
    Verify,
    Unknown,
    Hangup,
}

struct Session {
    client: Client,
    target: Target,
    stdio: Stdio,
    control: Control,
    raw: Option<RawMode>,
    /// Dropped when the process has ended.
    drain: Option<DrainSwitch>,
    /// Output that was not copied to its end.
    open_outputs: usize,
    /// The names of the FIFOs, removed with the session.
    paths: Vec<FifoPath>,
    note: mpsc::Sender<Note>,
    /// The daemon has answered.
    started: bool,
    /// An exit event counts: it cannot be one of an earlier container of the same name.
    exit_counts: bool,
    stdin_ended: bool,
    /// The loss of the daemon was told to the user.
    loss_told: bool,
    interrupts: u32,
    last_interrupt: Option<Instant>,
    output_gone: bool,
    deadlines: Vec<(Instant, Due)>,
    exit: Option<Exit>,
    /// Answers to "is it still there?".
    check: mpsc::Sender<Option<bool>>,
}

pub(super) async fn run(
    attached: Attached,
    start: impl Future<Output = Result<(), Error>>,
) -> Result<Ending, Error> {
    let Attached { client, target, stdio, mut follower, mut signals, fifos, control } = attached;
    let mut fifos = Some(fifos);
    let (note, mut notes) = mpsc::channel(NOTES);
    let (check, mut checks) = mpsc::channel(1);
    let mut session = Session {
        client,
        target,
        stdio,
        control,
        raw: None,
        drain: None,
        open_outputs: 0,
        paths: Vec::new(),
        note,
        started: false,
        exit_counts: false,
        stdin_ended: false,
        loss_told: false,
        interrupts: 0,
        last_interrupt: None,
        output_gone: false,
        deadlines: Vec::new(),
        exit: None,
        check,
    };
    let mut start = pin!(start);
    loop {
        if let Some(exit) = session.finished() {
            return Ok(Ending::Exited(exit));
        }
        let due = session.next_deadline();
        let step = tokio::select! {
            result = &mut start, if !session.started => {
                if let Some(fifos) = fifos.take() {
                    match result {
                        Ok(()) => session.on_started(fifos)?,
                        Err(error) => {
                            tell_leftover(&fifos, &error);
                            return Err(error);
                        }
                    }
                }
                None
            }
            notice = follower.next() => { session.on_notice(notice); None }
            arrived = signals.next() => session.on_signal(arrived),
            Some(note) = notes.recv() => session.on_note(note),
            Some(present) = checks.recv() => { session.on_checked(present); None }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => session.on_due()?,
        };
        if let Some(ending) = step {
            if session.raw.take().is_some() {
                // Whatever the container wrote last, what follows is not part of it.
                output::note("");
            }
            return Ok(ending);
        }
    }
}

/// The runtime has the stdio of the process that it could not start, and complains there as well. What the daemon's error
/// says already is not worth a second line.
fn tell_leftover(fifos: &Fifos, error: &Error) {
    let outputs = std::iter::once(&fifos.stdout).chain(&fifos.stderr);
    let said = error.to_string();
    for output in outputs {
        for line in new_lines(&String::from_utf8_lossy(&output.leftover()), &said) {
            output::note(line);
        }
    }
}

fn new_lines<'a>(text: &'a str, said: &str) -> Vec<&'a str> {
    let is_new = |line: &&str| {
        // "runc: cause" and "cause" say the same.
        let cause = line.split_once(": ").map_or(*line, |(_, cause)| cause);
        !line.trim().is_empty() && !said.contains(line) && !said.contains(cause)
    };
    text.lines().map(str::trim_end).filter(is_new).collect()
}

impl Session {
    /// The process has ended, and everything that it wrote was copied.
    fn finished(&self) -> Option<Exit> {
        self.exit.filter(|_| self.started && self.open_outputs == 0)
    }

    fn on_started(&mut self, fifos: Fifos) -> Result<(), Error> {
        self.started = true;
        self.control.open(self.client.api(), &self.target);
        if self.stdio.raw() {
            self.raw = Some(RawMode::enter()?);
        }
        self.send_size();

        let (drain, watch) = drain_switch()?;
        // The exit may have been quicker than the answer.
        self.drain = self.exit.is_none().then_some(drain);
        let stdout = (fifos.stdout, "stdout", rustix::stdio::stdout());
        let stderr = fifos.stderr.map(|fifo| (fifo, "stderr", rustix::stdio::stderr()));
        for (fifo, name, to) in std::iter::once(stdout).chain(stderr) {
            spawn_output(name, fifo.output, to, watch.try_clone()?, self.note.clone())?;
            self.open_outputs += 1;
            self.paths.push(fifo.path);
        }
        if let Some(fifo) = fifos.stdin {
            // The shim reads by now.
            drop(fifo.placeholder);
            spawn_input(fifo.input, self.raw.is_some(), self.note.clone())?;
            self.paths.push(fifo.path);
        }
        if !self.target.is_init() {
            // Without names, nothing is left behind even if this client is killed.
            self.paths.clear();
        }
        Ok(())
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Event(event) => self.on_event(&event),
            Notice::Lost => {
                self.after(QUIET_LOSS, Due::TellLoss);
                self.after(LONGEST_LOSS, Due::GiveUp);
            }
            Notice::Resumed => {
                self.deadlines.retain(|(_, due)| !matches!(due, Due::TellLoss | Due::GiveUp));
                if std::mem::take(&mut self.loss_told) {
                    self.tell("the daemon is back");
                }
                // The start event may have got lost with the old daemon.
                self.exit_counts |= self.started;
                // And so may these.
                if self.stdin_ended {
                    self.control.send(Request::CloseStdin);
                }
                self.send_size();
                self.after(VERIFY_AFTER, Due::Verify);
            }
        }
    }

    fn on_event(&mut self, event: &Event) {
        let ours = event.pid == self.target.process;
        match event.r#type.as_str() {
            START_CONTAINER if self.target.is_init() => self.exit_counts = true,
            START_PROCESS if ours => self.exit_counts = true,
            EXIT if ours && self.exit_counts => {
                let at = event.timestamp.and_then(when::from_wire);
                self.exit = Some(Exit { status: event.status, at });
                self.drain = None;
            }
            // Its container has ended, so it has, too; its own event should have come first.
            EXIT if event.pid == INIT && self.started => self.after(EXIT_GRACE, Due::Unknown),
            _ => {}
        }
    }

    fn on_signal(&mut self, arrived: Arrived) -> Option<Ending> {
        let Arrived::ForContainer(signal) = arrived else {
            self.send_size();
            return None;
        };
        self.control.send(Request::Signal(signal));
        if signal == Signal::HUP && self.stdio.terminal {
            self.after(HANGUP_GRACE, Due::Hangup);
        }
        if signal == Signal::INT || signal == Signal::TERM { self.on_interrupt(signal) } else { None }
    }

    fn on_note(&mut self, note: Note) -> Option<Ending> {
        match note {
            Note::InputEnded => {
                self.stdin_ended = true;
                self.control.send(Request::CloseStdin);
            }
            // A byte that the process gets; it only counts while nothing can come of it.
            Note::InterruptTyped if self.loss_told || self.open_outputs == 0 => {
                return self.on_interrupt(Signal::INT);
            }
            Note::InterruptTyped => {}
            // As the kernel does for a process that writes to a pipe without a reader.
            Note::OutputBroken(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.output_gone = true;
                self.control.send(Request::Signal(Signal::PIPE));
            }
            Note::OutputBroken(error) => {
                self.tell(&format!("cannot write the output: {}", system_text(&error)));
            }
            // The first process of a PID namespace does not die of a signal that it does not handle.
            Note::StillWriting if self.output_gone => self.control.send(Request::Signal(Signal::KILL)),
            Note::StillWriting => {}
            Note::OutputEnded => self.open_outputs = self.open_outputs.saturating_sub(1),
        }
        None
    }

    /// Ctrl-C, or a request to end: passed on already. The third in a row is for us.
    fn on_interrupt(&mut self, signal: Signal) -> Option<Ending> {
        if let Some(exit) = self.exit {
            // What is left is output that nobody takes.
            return Some(Ending::Exited(exit));
        }
        let now = Instant::now();
        let in_a_row = self.last_interrupt.is_some_and(|last| now - last <= INTERRUPT_PAUSE);
        self.interrupts = if in_a_row { self.interrupts + 1 } else { 1 };
        self.last_interrupt = Some(now);
        (self.interrupts >= INTERRUPTS_TO_LEAVE).then(|| Ending::Left { status: signal.exit_status() })
    }

    /// Whether the process is still there; `None` if the daemon could not say.
    fn on_checked(&mut self, present: Option<bool>) {
        match present {
            Some(true) => {}
            Some(false) => self.after(EXIT_GRACE, Due::Unknown),
            None => self.after(VERIFY_AFTER, Due::Verify),
        }
    }

    fn on_due(&mut self) -> Result<Option<Ending>, Error> {
        let now = Instant::now();
        let Some(index) = self.deadlines.iter().position(|(at, _)| *at <= now) else { return Ok(None) };
        let (_, due) = self.deadlines.swap_remove(index);
        let name = &self.target.container;
        match due {
            Due::TellLoss => {
                self.loss_told = true;
                let text = format!("the daemon at {} is gone; waiting for it", self.client.address());
                self.tell(&format!("{text} (Ctrl-C three times leaves)"));
            }
            // While there is output to come, the container lives, whatever the daemon does.
            Due::GiveUp if self.open_outputs > 0 => self.after(LONGEST_LOSS, Due::GiveUp),
            Due::GiveUp => {
                return Err(Error::impossible(
                    format!("cannot tell how {name} ended: the daemon at {} is gone", self.client.address()),
                    "once it runs again, `gantry ps -a` shows the status",
                ));
            }
            Due::Verify => self.verify(),
            Due::Unknown if self.exit.is_some() => {}
            Due::Unknown => {
                return Err(Error::StatusUnknown(format!(
                    "{name} has ended, and nobody saw with which status"
                )));
            }
            Due::Hangup => return Ok(Some(Ending::TerminalGone)),
        }
        Ok(None)
    }

    /// Asks whether the process is still there, without waiting for the answer.
    fn verify(&self) {
        let (client, target, check) = (self.client.clone(), self.target.clone(), self.check.clone());
        tokio::spawn(async move {
            let present = client.container(&target.container).await.ok().map(|container| {
                container.is_some_and(|container| {
                    container.processes.iter().any(|process| process.pid == target.process)
                })
            });
            let _ = check.send(present).await;
        });
    }

    fn send_size(&self) {
        if self.started
            && self.stdio.terminal
            && let Some(size) = terminal::size()
        {
            self.control.send(Request::Resize(size));
        }
    }

    fn after(&mut self, pause: Duration, due: Due) {
        self.deadlines.retain(|(_, other)| *other != due);
        self.deadlines.push((Instant::now() + pause, due));
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.iter().map(|(at, _)| *at).min()
    }

    fn tell(&self, text: &str) {
        let line = format!("gantry: {text}");
        if self.raw.is_some() { output::raw_note(&line) } else { output::note(&line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_error_says_is_not_said_twice() {
        let said = r#"cannot run x: oci runtime error: runc create failed: exec: "nope": not found in $PATH"#;
        let runc = "runc create failed: exec: \"nope\": not found in $PATH\n";
        let ours = "gantry-runtime: exec: \"nope\": not found in $PATH\r\n\n";
        assert!(new_lines(runc, said).is_empty());
        assert!(new_lines(ours, said).is_empty());
        assert_eq!(new_lines("panic: oh\nat x.go\n", said), ["panic: oh", "at x.go"]);
    }
}
