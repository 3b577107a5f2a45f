//! The thread that writes the event log, and what it shares with those who ask.

use super::file::{self, LogFile};
use super::{Event, EventKind, Timestamp};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

/// The most events that are synced at once.
const BATCH: usize = 256;
/// The pauses between two attempts to write. The kernel does not announce that a disk has room again.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// To write an event, and to say so once it is written.
    Append(Event, oneshot::Sender<()>),
    /// To say when all that came before it is delivered.
    Settle(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) events: VecDeque<Arc<Event>>,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) appended: u64,
    pub(super) cut_off: u64,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) queue: mpsc::Sender<Arc<Event>>,
    pub(super) container: Option<String>,
    pub(super) lagged: Arc<AtomicBool>,
}

pub(super) fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Every change of `Shared` is one push or one retain: a panic elsewhere leaves it whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Writer {
    pub(super) log: LogFile,
    pub(super) last: Timestamp,
    pub(super) retain: Arc<AtomicUsize>,
    pub(super) shared: Arc<Mutex<Shared>>,
    /// Why the last attempt to write failed.
    pub(super) trouble: watch::Sender<Option<Arc<io::Error>>>,
}

impl Writer {
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut batch = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(next) = queue.try_recv()
            {
                batch.push(next);
            }
            if self.commit(&mut batch).is_none() {
                return;
            }
        }
    }

    /// `None` when it was given up.
    fn commit(&mut self, batch: &mut Vec<Request>) -> Option<()> {
        let (mut events, mut written, mut settled) =
            (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        for request in batch.drain(..) {
            match request {
                Request::Settle(done) => settled.push(done),
                Request::Append(mut event, done) => {
                    self.last = Timestamp::now().max(self.last.next());
                    event.timestamp = self.last;
                    match event.kind {
                        EventKind::Exit => settled.push(done),
                        _ => written.push(done),
                    }
                    events.push(Arc::new(event));
                }
            }
        }
        if !events.is_empty() {
            self.write(events, written)?;
        }
        for done in settled {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
        Some(())
    }

    /// Writes events, says so, syncs them, and delivers them.
    fn write(&mut self, events: Vec<Arc<Event>>, written: Vec<oneshot::Sender<()>>) -> Option<()> {
        let lines: Vec<u8> = events.iter().flat_map(|event| file::encode(event)).collect();
        self.insist(&lines, written)?;
        let mut shared = lock(&self.shared);
        for event in events {
            shared.publish(event);
        }
        let trimmed = shared.trim(self.retain.load(Ordering::Relaxed));
        let snapshot: Option<Vec<_>> = trimmed.then(|| shared.events.iter().cloned().collect());
        drop(shared);
        if let Some(events) = snapshot
            && let Err(error) = self.log.rewrite(events.iter().map(AsRef::as_ref))
        {
            warn!(%error, "the event log cannot be rewritten; it is longer than it need be");
        }
        Some(())
    }

    /// Returns once the disk has these lines, however long that takes, or `None` once nobody has the log any more.
    fn insist(&mut self, lines: &[u8], mut written: Vec<oneshot::Sender<()>>) -> Option<()> {
        let mut pause = FIRST_RETRY;
        loop {
            let appended = self.log.append(lines).map(|()| {
                for done in written.drain(..) {
                    // Whoever appended may have gone; the event has not.
                    let _ = done.send(());
                }
            });
            let Err(error) = appended.and_then(|()| self.log.sync()) else { break };
            if self.trouble.borrow().is_none() {
                error!(%error, "the event log cannot be written; events wait, and nothing is started, until it can");
            }
            self.trouble.send_replace(Some(Arc::new(error)));
            if self.trouble.is_closed() {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LAST_RETRY);
        }
        if self.trouble.borrow().is_some() {
            info!("the event log can be written again");
            self.trouble.send_replace(None);
        }
        Some(())
    }
}

impl Shared {
    fn publish(&mut self, event: Arc<Event>) {
        self.subscribers.retain(|subscriber| {
            if subscriber.container.as_ref().is_some_and(|id| *id != event.container) {
                return !subscriber.queue.is_closed();
            }
            match subscriber.queue.try_send(Arc::clone(&event)) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    subscriber.lagged.store(true, Ordering::Release);
                    self.cut_off += 1;
                    false
                }
            }
        });
        self.events.push_back(event);
        self.appended += 1;
    }

    /// Forgets the oldest once there are twice as many as are to be kept, so that the file is rewritten rarely.
    fn trim(&mut self, retain: usize) -> bool {
        if retain == 0 || self.events.len() < retain.saturating_mul(2) {
            return false;
        }
        let surplus = self.events.len() - retain;
        self.events.drain(..surplus);
        true
    }
}
