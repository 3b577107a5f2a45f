//! The event log: one writer thread, any number of subscribers.
//!
//! An event goes through the writer's bounded queue. The writer takes what has gathered, gives times and writes
//! it in one go: from then on a killed daemon finds it again, and those who appended go on. Then it syncs, so
//! that not even a power cut takes back what somebody was told, and only then, under one lock, remembers the
//! events and hands them to the subscribers. So a start does not wait for the disk, no event is delivered that
//! could still be lost, and a subscriber that comes at any moment gets each event once: from the replay or live.
//!
//! A disk that is full or fails makes the writer insist: it tries again until it succeeds, and whoever appends waits. An
//! event that was told and then forgotten by a kill would be told twice, perhaps with another status.

use super::file::{self, LogFile};
use super::{Event, EventKind, ProcessKey, Timestamp};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

/// Events that may wait to be written; more make their senders wait.
const QUEUE: usize = 2048;
/// Events that a subscriber may be behind before it is cut off.
const SUBSCRIBER_QUEUE: usize = 2048;
/// The most events that are synced at once.
const BATCH: usize = 256;
/// Pauses between two tries to write, the first and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventLog {
    queue: mpsc::Sender<Request>,
    shared: Arc<Mutex<Shared>>,
    retain: Arc<AtomicUsize>,
}

/// Figures of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOverview {
    pub queued: usize,
    pub stored: usize,
    pub appended: u64,
    pub subscribers: usize,
    pub cut_off: u64,
}

/// What the writer is asked for.
#[derive(Debug)]
enum Request {
    /// To write an event, and to say so once it is written.
    Append(Event, oneshot::Sender<()>),
    /// To say when all that came before it is delivered.
    Settle(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    events: VecDeque<Arc<Event>>,
    subscribers: Vec<Subscriber>,
    appended: u64,
    cut_off: u64,
}

#[derive(Debug)]
struct Subscriber {
    queue: mpsc::Sender<Arc<Event>>,
    container: Option<String>,
    lagged: Arc<AtomicBool>,
}

/// A replay and what follows it.
#[derive(Debug)]
pub struct Subscription {
    /// Stored events, oldest first.
    pub replay: Vec<Arc<Event>>,
    /// Events from then on; `None` when only stored ones were asked for.
    pub live: Option<mpsc::Receiver<Arc<Event>>>,
    lagged: Arc<AtomicBool>,
}

impl Subscription {
    /// Whether the live stream ended because its reader was too slow: it has to subscribe again from the time
    /// of the last event that it has seen.
    #[must_use]
    pub fn has_lagged(&self) -> bool {
        self.lagged.load(Ordering::Acquire)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Every change of `Shared` is one push or one retain: a panic elsewhere leaves it whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EventLog {
    /// Reads the log at `path` and starts its writer. `retain` is how many events are kept, 0 for all.
    ///
    /// # Errors
    /// When the file cannot be read or opened for writing. Lines that mean nothing are only warned about, and they stay
    /// while the disk is full.
    pub fn open(path: &Path, retain: usize) -> io::Result<Self> {
        let mut contents = file::read(path)?;
        let surplus = if retain == 0 { 0 } else { contents.events.len().saturating_sub(retain) };
        contents.events.drain(..surplus);
        let mut log = LogFile::open(path)?;
        if contents.damaged_lines > 0 {
            warn!(path = %path.display(), lines = contents.damaged_lines, "damaged lines in the event log; dropping them");
        }
        if (contents.damaged_lines > 0 || surplus > 0)
            && let Err(error) = log.rewrite(contents.events.iter())
        {
            warn!(path = %path.display(), %error, "the event log cannot be written anew; it stays as it is");
            log.cut(contents.whole_bytes)?;
        }
        let last = contents.events.iter().map(|event| event.timestamp).max().unwrap_or_default();
        let events = contents.events.into_iter().map(Arc::new).collect();
        let shared = Arc::new(Mutex::new(Shared { events, ..Shared::default() }));
        let (queue, receiver) = mpsc::channel(QUEUE);
        let retain = Arc::new(AtomicUsize::new(retain));
        let writer =
            Writer { log, last, retain: Arc::clone(&retain), shared: Arc::clone(&shared), queue: receiver };
        std::thread::Builder::new()
            .name("event-log".to_owned())
            .stack_size(128 << 10)
            .spawn(move || writer.run())?;
        Ok(Self { queue, shared, retain })
    }

    /// Keeps so many events from now on, 0 for all.
    pub(crate) fn set_retain(&self, events: usize) {
        self.retain.store(events, Ordering::Relaxed);
    }

    /// Logs an event and returns once no kill of the daemon can lose it. Its timestamp is set here; it is
    /// delivered, in the order of appending, once no power cut can lose it either.
    pub async fn append(&self, event: Event) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Request::Append(event, done)).await.is_err() || written.await.is_err() {
            error!("the event log's writer has ended; an event is lost");
        }
    }

    /// Returns once everything appended so far is delivered: a replay from then on has it.
    pub(crate) async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        // Without a writer there is nothing to wait for.
        let _ = self.queue.send(Request::Settle(done)).await;
        let _ = settled.await;
    }

    /// Whether the log knows an event of this kind about this very process.
    #[must_use]
    pub fn knows(&self, kind: EventKind, container: &str, process: &str, key: ProcessKey) -> bool {
        let process = if kind == EventKind::StartContainer { "" } else { process };
        lock(&self.shared).events.iter().rev().any(|event| {
            event.kind == kind
                && event.key == Some(key)
                && event.container == container
                && event.process == process
        })
    }

    /// Whether a container had an out-of-memory kill since its last start.
    #[must_use]
    pub fn has_oom_since_start(&self, container: &str) -> bool {
        let shared = lock(&self.shared);
        let of_it = shared.events.iter().rev().filter(|event| event.container == container);
        let mut since_start = of_it.take_while(|event| event.kind != EventKind::StartContainer);
        since_start.any(|event| event.kind == EventKind::Oom)
    }

    /// Subscribes. With `since`, stored events strictly after it come first; with `stored_only` nothing follows.
    #[must_use]
    pub fn subscribe(
        &self,
        since: Option<Timestamp>,
        stored_only: bool,
        container: Option<String>,
    ) -> Subscription {
        let lagged = Arc::new(AtomicBool::new(false));
        let mut shared = lock(&self.shared);
        let wanted = |event: &&Arc<Event>| {
            since.is_some_and(|t| event.timestamp > t)
                && container.as_ref().is_none_or(|id| *id == event.container)
        };
        let replay = shared.events.iter().filter(wanted).cloned().collect();
        let live = (!stored_only).then(|| {
            let (queue, receiver) = mpsc::channel(SUBSCRIBER_QUEUE);
            shared.subscribers.push(Subscriber { queue, container, lagged: Arc::clone(&lagged) });
            receiver
        });
        Subscription { replay, live, lagged }
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.overview().subscribers
    }

    pub(crate) fn overview(&self) -> LogOverview {
        let mut shared = lock(&self.shared);
        shared.subscribers.retain(|s| !s.queue.is_closed());
        LogOverview {
            queued: self.queue.max_capacity() - self.queue.capacity(),
            stored: shared.events.len(),
            appended: shared.appended,
            subscribers: shared.subscribers.len(),
            cut_off: shared.cut_off,
        }
    }
}

struct Writer {
    log: LogFile,
    last: Timestamp,
    retain: Arc<AtomicUsize>,
    shared: Arc<Mutex<Shared>>,
    queue: mpsc::Receiver<Request>,
}

/// The log was dropped while the disk could not be written.
struct Abandoned;

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(first) = self.queue.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push(next);
            }
            if let Err(Abandoned) = self.commit(&mut batch) {
                return;
            }
        }
    }

    fn commit(&mut self, batch: &mut Vec<Request>) -> Result<(), Abandoned> {
        let (mut events, mut written, mut settled) =
            (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        for request in batch.drain(..) {
            match request {
                Request::Settle(done) => settled.push(done),
                Request::Append(mut event, done) => {
                    self.last = Timestamp::now().max(self.last.next());
                    event.timestamp = self.last;
                    events.push(Arc::new(event));
                    written.push(done);
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
        Ok(())
    }

    /// Writes events, says so, syncs them, and delivers them.
    fn write(&mut self, events: Vec<Arc<Event>>, written: Vec<oneshot::Sender<()>>) -> Result<(), Abandoned> {
        let lines: Vec<u8> = events.iter().flat_map(|event| file::encode(event)).collect();
        self.insist("written", |log| log.append(&lines))?;
        for done in written {
            // Whoever appended may have gone; the event has not.
            let _ = done.send(());
        }
        if let Err(error) = self.log.sync() {
            // A second sync would succeed, for the kernel has given up the pages that it could not write (fsync(2)).
            warn!(%error, "the event log cannot be synced; writing it anew");
            let mut all: Vec<_> = lock(&self.shared).events.iter().cloned().collect();
            all.extend(events.iter().cloned());
            self.insist("written anew", |log| log.rewrite(all.iter().map(AsRef::as_ref)))?;
        }
        let mut shared = lock(&self.shared);
        for event in events {
            shared.publish(event);
        }
        let kept = shared
            .trim(self.retain.load(Ordering::Relaxed))
            .then(|| shared.events.iter().cloned().collect::<Vec<_>>());
        drop(shared);
        if let Some(events) = kept
            && let Err(error) = self.log.rewrite(events.iter().map(AsRef::as_ref))
        {
            warn!(%error, "the event log cannot be written anew; it stays longer than it has to be");
        }
        Ok(())
    }

    /// Tries until it succeeds, or nobody is left who could append.
    fn insist(
        &mut self,
        what: &str,
        mut attempt: impl FnMut(&mut LogFile) -> io::Result<()>,
    ) -> Result<(), Abandoned> {
        let [mut pause, longest] = PAUSES;
        let mut failed = false;
        while let Err(error) = attempt(&mut self.log) {
            if self.queue.sender_strong_count() == 0 {
                error!(%error, "the event log cannot be {what}, and the daemon ends: the next one tells what this one has not");
                return Err(Abandoned);
            }
            if !failed {
                error!(%error, "the event log cannot be {what}; nobody is told of anything until it can: make room on the disk");
                failed = true;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
        if failed {
            info!("the event log is {what} again");
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(container: &str) -> Event {
        Event::of_container(EventKind::Pause, container)
    }

    fn opened(retain: usize) -> (tempfile::TempDir, EventLog) {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::open(&folder.path().join("events.log"), retain).unwrap();
        (folder, log)
    }

    #[tokio::test]
    async fn replay_then_live_without_gap_or_double() {
        let (_folder, log) = opened(500);
        log.append(event("a")).await;
        log.append(event("b")).await;
        log.settle().await;
        let mut subscription = log.subscribe(Some(Timestamp::default()), false, Some("a".to_owned()));
        log.append(event("b")).await;
        log.append(event("a")).await;
        assert_eq!(subscription.replay.len(), 1);
        let live = subscription.live.as_mut().unwrap().recv().await.unwrap();
        assert_eq!(live.container, "a");
        assert!(live.timestamp > subscription.replay[0].timestamp);
        let stored = log.subscribe(Some(subscription.replay[0].timestamp), true, None);
        assert_eq!((stored.replay.len(), stored.live.is_none()), (3, true));
        assert_eq!(log.subscribe(None, true, None).replay.len(), 0);
    }

    #[tokio::test]
    async fn survives_a_restart_and_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        {
            let log = EventLog::open(&path, 10).unwrap();
            for _ in 0..35 {
                log.append(event("a")).await;
            }
            log.settle().await;
        }
        let stored = file::read(&path).unwrap().events;
        assert!((10..20).contains(&stored.len()), "{}", stored.len());
        let log = EventLog::open(&path, 10).unwrap();
        let replay = log.subscribe(Some(Timestamp::default()), true, None).replay;
        assert_eq!(replay.len(), 10);
        assert_eq!(replay[9].timestamp, stored[stored.len() - 1].timestamp);
    }

    #[tokio::test]
    async fn an_event_of_the_end_of_time_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.log");
        let line = |time| format!("{{\"id\":\"a\",\"type\":\"pause\",\"timestamp\":\"{time}\"}}\n");
        let (last, beyond) = ("9999-12-31T23:59:59.999999998Z", "9999-12-31T23:59:59-12:00");
        std::fs::write(&path, format!("{}{}torn", line(last), line(beyond))).unwrap();
        let log = EventLog::open(&path, 500).unwrap();
        for container in ["b", "c", "d"] {
            log.append(event(container)).await;
        }
        log.settle().await;
        let names: Vec<_> =
            file::read(&path).unwrap().events.into_iter().map(|event| event.container).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_cut_off_and_told() {
        let (_folder, log) = opened(0);
        let mut slow = log.subscribe(None, false, None);
        for _ in 0..=SUBSCRIBER_QUEUE {
            log.append(event("a")).await;
        }
        log.settle().await;
        assert_eq!(log.subscribers(), 0);
        let mut received = 0;
        while slow.live.as_mut().unwrap().recv().await.is_some() {
            received += 1;
        }
        assert_eq!((received, slow.has_lagged()), (SUBSCRIBER_QUEUE, true));
    }

    #[tokio::test]
    async fn knows_which_process_an_event_was_about() {
        let (_folder, log) = opened(500);
        let key = ProcessKey { system_pid: 5, start_time: 77 };
        let exit = Event { kind: EventKind::Exit, process: "init".to_owned(), key: Some(key), ..event("a") };
        log.append(exit).await;
        log.settle().await;
        assert!(log.knows(EventKind::Exit, "a", "init", key));
        assert!(!log.knows(EventKind::Exit, "a", "init", ProcessKey { start_time: 78, ..key }));
        assert!(!log.knows(EventKind::StartContainer, "a", "init", key));
    }
}
