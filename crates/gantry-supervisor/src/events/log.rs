//! The event log: one writer thread, any number of subscribers.
//!
//! An event goes through the writer's bounded queue. The writer takes what has gathered, gives times and writes
//! it in one go: from then on a killed daemon finds it again, and those who appended go on. Then it syncs, so
//! that not even a power cut takes back what somebody was told, and only then, under one lock, remembers the
//! events and hands them to the subscribers. So a start does not wait for the disk, no event is delivered that
//! could still be lost, and a subscriber that comes at any moment gets each event once: from the replay or live.
//! Whoever appends an exit goes on only then, since it removes the record that the exit is known by.
//!
//! A disk that is full or broken makes the log wait, not forget: what could not be written or synced is tried again
//! until it is, nothing is told before, and nothing new is started ([`EventLog::trouble`]).

use super::file::{self, LogFile};
use super::writer::{Request, Shared, Subscriber, Writer, lock};
use super::{Event, EventKind, ProcessKey, Timestamp};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};

/// Events that may wait to be written; more make their senders wait.
const QUEUE: usize = 2048;
/// Events that a subscriber may be behind before it is cut off.
const SUBSCRIBER_QUEUE: usize = 2048;

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventLog {
    queue: mpsc::Sender<Request>,
    shared: Arc<Mutex<Shared>>,
    retain: Arc<AtomicUsize>,
    trouble: watch::Receiver<Option<Arc<io::Error>>>,
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

impl EventLog {
    /// Reads the log at `path` and starts its writer. `retain` is how many events are kept, 0 for all.
    ///
    /// # Errors
    /// When the file cannot be read or written. Lines that mean nothing are only warned about.
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
            // Even on a full disk the daemon has to come up. Only a torn line would do harm.
            warn!(path = %path.display(), %error, "the event log cannot be rewritten; going on with it as it is");
            log.cut_torn_line()?;
        }
        let last = contents.events.iter().map(|event| event.timestamp).max().unwrap_or_default();
        let events = contents.events.into_iter().map(Arc::new).collect();
        let shared = Arc::new(Mutex::new(Shared { events, ..Shared::default() }));
        let (queue, receiver) = mpsc::channel(QUEUE);
        let retain = Arc::new(AtomicUsize::new(retain));
        let (said, trouble) = watch::channel(None);
        let writer =
            Writer { log, last, retain: Arc::clone(&retain), shared: Arc::clone(&shared), trouble: said };
        std::thread::Builder::new()
            .name("event-log".to_owned())
            .stack_size(128 << 10)
            .spawn(move || writer.run(receiver))?;
        Ok(Self { queue, shared, retain, trouble })
    }

    /// Keeps so many events from now on, 0 for all.
    pub(crate) fn set_retain(&self, events: usize) {
        self.retain.store(events, Ordering::Relaxed);
    }

    /// Logs an event and returns once no kill of the daemon can lose it; for an exit, once it is on the disk. Its
    /// timestamp is set here; it is delivered, in the order of appending, once no power cut can lose it either.
    ///
    /// That takes as long as the log cannot be written; the event is logged even if nobody waits any more.
    pub async fn append(&self, event: Event) {
        self.enqueue(event).await.logged().await;
    }

    /// Gives an event its place among all. Waits only while too many are queued.
    pub(crate) async fn enqueue(&self, event: Event) -> Pending {
        let (done, logged) = oneshot::channel();
        if self.queue.send(Request::Append(event, done)).await.is_err() {
            error!("the event log's writer has ended; an event is lost");
        }
        Pending(logged)
    }

    /// As [`EventLog::append`] for an event that no record depends on: where the log has to wait, this does not.
    pub(crate) async fn note(&self, event: Event) {
        let pending = self.enqueue(event).await;
        let mut trouble = self.trouble.clone();
        tokio::select! {
            biased;
            () = pending.logged() => {}
            _ = trouble.wait_for(Option::is_some) => {}
        }
    }

    /// Returns once everything appended so far is delivered: a replay from then on has it. Where the log has to wait,
    /// nobody was told of what it has not delivered.
    pub(crate) async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        let settle = async {
            // Without a writer there is nothing to wait for.
            let _ = self.queue.send(Request::Settle(done)).await;
            let _ = settled.await;
        };
        let mut trouble = self.trouble.clone();
        tokio::select! {
            () = settle => {}
            _ = trouble.wait_for(Option::is_some) => {}
        }
    }

    /// Why the log cannot be written at present, if it cannot: it goes on by itself, but nothing should be begun that
    /// has to be logged.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<io::Error>> {
        self.trouble.borrow().clone()
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

/// An event that has its place in the log.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<()>);

impl Pending {
    /// Returns when [`EventLog::append`] would.
    pub(crate) async fn logged(self) {
        if self.0.await.is_err() {
            error!("the event log's writer has ended; an event is lost");
        }
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
    /// A file system of one page over a folder.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let flags = rustix::mount::MountFlags::empty();
            rustix::mount::mount("none", folder.path(), "tmpfs", flags, c"size=8k").unwrap();
            Self(folder)
        }

        fn log(&self) -> std::path::PathBuf {
            self.0.path().join("events.log")
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
        }
    }

    async fn until_trouble(log: &EventLog) {
        log.trouble.clone().wait_for(Option::is_some).await.unwrap();
    }

    #[tokio::test]
    async fn on_a_full_disk_nothing_is_told_and_nothing_is_lost() {
        let disk = SmallDisk::new();
        let log = EventLog::open(&disk.log(), 0).unwrap();
        let mut live = log.subscribe(None, false, None).live.unwrap();
        let filler = disk.0.path().join("filler");
        std::fs::write(&filler, [0; 4096]).unwrap();
        // Long names, so that a page is full soon and a line is torn by its end.
        let exit = |n| Event { kind: EventKind::Exit, ..event(&format!("{n:0200}")) };
        let pending: Vec<Pending> = {
            let mut pending = Vec::new();
            for n in 0..30 {
                pending.push(log.enqueue(exit(n)).await);
            }
            pending
        };
        until_trouble(&log).await;
        assert!(log.trouble().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull));
        // A note does not wait, nor does whoever wants to know what was told.
        log.note(event("noted")).await;
        log.settle().await;
        let stored = file::read(&disk.log()).unwrap();
        assert_eq!(stored.damaged_lines, 0, "no torn line may stay");
        let told = log.subscribe(Some(Timestamp::default()), true, None).replay.len();
        assert!(told <= stored.events.len() && told < 30, "{told} told, {} stored", stored.events.len());
        std::fs::remove_file(&filler).unwrap();
        rustix::mount::mount_remount(disk.0.path(), rustix::mount::MountFlags::empty(), c"size=1m").unwrap();
        for pending in pending {
            pending.logged().await;
        }
        log.settle().await;
        assert!(log.trouble().is_none());
        let names: Vec<String> = (0..30).map(|n| format!("{n:0200}")).chain(["noted".to_owned()]).collect();
        let (mut received, mut last) = (Vec::new(), Timestamp::default());
        while let Ok(event) = live.try_recv() {
            assert!(event.timestamp > last);
            last = event.timestamp;
            received.push(event.container.clone());
        }
        assert_eq!(received, names);
        let stored = file::read(&disk.log()).unwrap();
        assert_eq!(stored.damaged_lines, 0);
        assert_eq!(stored.events.into_iter().map(|event| event.container).collect::<Vec<_>>(), names);
    }

    #[tokio::test]
    async fn a_torn_log_is_taken_up_on_a_full_disk() {
        let disk = SmallDisk::new();
        let line = "{\"id\":\"a\",\"type\":\"pause\",\"timestamp\":\"2016-05-02T11:02:16Z\"}\n";
        std::fs::write(disk.log(), format!("{line}{}", &line[..20])).unwrap();
        std::fs::write(disk.0.path().join("filler"), [0; 4096]).unwrap();
        let log = EventLog::open(&disk.log(), 0).unwrap();
        // There is room in the page.
        log.append(event("b")).await;
        log.settle().await;
        let stored = file::read(&disk.log()).unwrap();
        assert_eq!((stored.events.len(), stored.damaged_lines), (2, 0));
        assert_eq!(std::fs::read_dir(disk.0.path()).unwrap().count(), 2);
    }
}
