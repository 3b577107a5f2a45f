//! Replacing the shim of a process that runs by the one that is installed now.
//!
//! The old shim is asked to hand over ([`ControlMessage::HandOver`]): it ends between two pieces of work, when no byte of
//! the terminal is in its memory. Meanwhile the daemon holds what both hold ([`Holders`]), and whoever waits for the
//! process's end ([`crate::ExitWatch`]) puts the new shim in its place, as after a death. So nothing is ever without a
//! holder, and an end in between is learnt as one after a shim's death is.

use crate::error::{Error, Result};
use crate::holders::Holders;
use crate::orphans::Orphans;
use crate::process::Process;
use crate::restore;
use gantry_record::ProcessRecord;
use gantry_record::control::ControlMessage;
use gantry_record::failpoint;
use gantry_record::layout::name;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an old shim may take. One whose client types more than the process reads keeps what was typed, and waits.
const LIMIT: Duration = Duration::from_secs(20);

/// A request to hand over, from whoever asks to whoever waits for the process's end.
#[derive(Debug, Default)]
pub(crate) struct Handover(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    asked_for: bool,
    /// Whoever waits for the answer, unless it was too long for them.
    waiting: Option<oneshot::Sender<Result<u32>>>,
}

/// What a process knows of its shim's succession.
#[derive(Clone, Debug)]
pub(crate) struct Succession {
    pub(crate) holders: Arc<Holders>,
    pub(crate) handover: Arc<Handover>,
    pub(crate) orphans: Arc<Orphans>,
    pub(crate) on_death: bool,
}

/// A shim that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The pid of the one before.
    pub before: i32,
    /// The pid of the one that stands beside the process now.
    pub now: i32,
}

impl Handover {
    /// As a daemon before this one has left it.
    pub(crate) fn found(asked_for: bool) -> Self {
        Self(Mutex::new(State { asked_for, waiting: None }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Both fields are always good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks; a request that is on its way already is joined by none.
    fn ask(&self) -> Result<oneshot::Receiver<Result<u32>>> {
        let mut state = self.state();
        if state.asked_for {
            return Err(Error::HandoverUnderWay);
        }
        let (sender, receiver) = oneshot::channel();
        *state = State { asked_for: true, waiting: Some(sender) };
        Ok(receiver)
    }

    /// Whether a shim that is gone now has just done what it was asked for.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.state().asked_for
    }

    /// Says what has become of it: the new shim's pid.
    pub(crate) fn answer(&self, result: Result<u32>) {
        let state = std::mem::take(&mut *self.state());
        if let Some(waiting) = state.waiting {
            // Whoever asked may have gone.
            let _ = waiting.send(result);
        }
    }
}

impl Process {
    /// Replaces the shim. The work is in the future, which needs nothing of the process any more.
    pub fn replace_shim(&self) -> impl Future<Output = Result<Replaced>> + Send + 'static {
        let (container, dir) = (self.container.clone(), self.dir.clone());
        let (succession, record) = (self.succession.clone(), Arc::clone(&self.record));
        let control = self.control.try_clone();
        async move {
            let shim = restore::shims(&container, dir.path()).next().ok_or(Error::NoShim)?;
            let record = ProcessRecord::from_json(&dir.file(name::PROCESS), &record)?;
            let answer = succession.handover.ask()?;
            // From here on there is always an answer: at the latest when the process has ended.
            succession.orphans.take_in();
            if !succession.on_death {
                succession.holders.take(&record, &dir, Some(shim.pid));
            }
            // Written down first: a daemon that comes after this one must not take it for a death.
            let told = dir.mark_handover(true).and_then(|()| {
                failpoint::at("daemon::handover::marked");
                let line = ControlMessage::HandOver.encode();
                let written = control.and_then(|control| Ok(rustix::io::write(&control, line.as_bytes())?));
                written.map_err(|error| gantry_record::Error::io("write", dir.file(name::CONTROL), error))
            });
            if let Err(error) = told {
                succession.handover.answer(Err(Error::HandoverRefused));
                dir.mark_handover(false)?;
                return Err(error.into());
            }
            failpoint::at("daemon::handover::asked");
            // After that it still may come to pass, and then it is right that it was asked for.
            let now = tokio::time::timeout(LIMIT, answer).await.map_err(|_| Error::HandoverRefused)?;
            let now = now.unwrap_or(Err(Error::NoSuchProcess))?;
            Ok(Replaced { before: shim.pid, now: i32::try_from(now).unwrap_or_default() })
        }
    }
}
