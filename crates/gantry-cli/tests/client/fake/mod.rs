//! A stand-in for the daemon: it speaks `types.API`, and "containers" are plain processes of the host, run without root.
//!
//! What it does like the real one is what the client depends on: FIFOs opened for both directions, events in order and
//! replayed, exits after the output is closed. What it can do besides: refuse a start with a given text, break every event
//! stream, stop and come back while its processes run on.

mod api;
mod process;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use gantry_api::types::api_server::ApiServer;
use gantry_api::types::{Checkpoint, CreateContainerRequest, Event, UpdateProcessRequest, UpdateResource};
use prost_types::Timestamp;
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::UnixListenerStream;

use process::Running;

/// A daemon in a temporary directory.
pub(crate) struct FakeDaemon {
    dir: tempfile::TempDir,
    shared: Arc<Shared>,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What outlives a restart.
pub(crate) struct Shared {
    me: Weak<Shared>,
    /// By container and process id.
    processes: Mutex<BTreeMap<(String, String), Running>>,
    events: Mutex<Vec<Event>>,
    /// Changes with each event.
    news: watch::Sender<usize>,
    /// Changes when all streams are to break.
    breaks: watch::Sender<usize>,
    pub(crate) creates: Mutex<Vec<CreateContainerRequest>>,
    pub(crate) updates: Mutex<Vec<UpdateProcessRequest>>,
    pub(crate) resources: Mutex<Vec<UpdateResource>>,
    /// With the folder that each is in.
    pub(crate) checkpoints: Mutex<Vec<(String, Checkpoint)>>,
}

// === impl FakeDaemon ===

impl FakeDaemon {
    pub(crate) fn start() -> Self {
        let shared = Arc::new_cyclic(|me| Shared {
            me: me.clone(),
            processes: Mutex::default(),
            events: Mutex::default(),
            news: watch::Sender::new(0),
            breaks: watch::Sender::new(0),
            creates: Mutex::default(),
            updates: Mutex::default(),
            resources: Mutex::default(),
            checkpoints: Mutex::default(),
        });
        let mut daemon = Self { dir: tempfile::tempdir().unwrap(), shared, server: None };
        daemon.serve();
        daemon
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn bundles(&self) -> PathBuf {
        self.dir.path().join("bundles")
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How many streams of events are open.
    #[allow(dead_code, reason = "for the tests of ctr")]
    pub(crate) fn subscribers(&self) -> usize {
        self.shared.news.receiver_count()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("gantryd.sock")
    }

    /// Begins to listen, also again.
    pub(crate) fn serve(&mut self) {
        let socket = self.socket();
        let _ = std::fs::remove_file(&socket);
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = ApiServer::from_arc(Arc::clone(&self.shared));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
                let serve =
                    tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
                // As hard as SIGKILL: connections just end.
                tokio::select! {
                    _ = stopped => {}
                    result = serve => result.unwrap(),
                }
            });
        });
        self.server = Some((stop, thread));
    }

    /// Ends like a daemon that was killed; its processes run on.
    pub(crate) fn kill(&mut self) {
        if let Some((stop, thread)) = self.server.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }

    pub(crate) fn break_streams(&self) {
        self.shared.breaks.send_modify(|count| *count += 1);
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.kill();
        for running in self.shared.processes.lock().unwrap().values() {
            running.signal(9);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn publish(&self, kind: &str, id: &str, pid: &str, status: u32) {
        let mut events = self.events.lock().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let timestamp =
            Timestamp { seconds: now.as_secs().cast_signed(), nanos: now.subsec_nanos().cast_signed() };
        events.push(Event {
            r#type: kind.to_owned(),
            id: id.to_owned(),
            status,
            pid: pid.to_owned(),
            timestamp: Some(timestamp),
        });
        self.news.send_replace(events.len());
    }

    pub(crate) fn is_running(&self, id: &str) -> bool {
        self.processes.lock().unwrap().keys().any(|(container, _)| container == id)
    }
}
