//! What an attached client asks of the daemon while a process runs: one task, so that the session never waits for a call.

use std::time::Duration;

use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{SignalRequest, UpdateProcessRequest};
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::bundle::spec::Size;
use crate::client::timed;
use crate::error::is_not_found;
use crate::output;
use crate::signal::Signal;

/// How long one request may take; a daemon that does not answer must not hold up the next one for long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Requests that may wait. More than this means that the daemon hangs; what does not fit is dropped.
const QUEUE: usize = 64;

/// A process of a container.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) container: String,
    pub(crate) process: String,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    Signal(Signal),
    Resize(Size),
    CloseStdin,
}

/// The queue of requests for one process. Nothing is sent before [`Control::open`]: until the process has been
/// started, there is nobody to send it to.
#[derive(Debug)]
pub(crate) struct Control {
    sender: mpsc::Sender<Request>,
    waiting: Option<mpsc::Receiver<Request>>,
}

// === impl Control ===

impl Control {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, waiting: Some(receiver) }
    }

    pub(crate) fn send(&self, request: Request) {
        let _ = self.sender.try_send(request);
    }

    /// The process runs: send what has waited, and everything from now on.
    pub(crate) fn open(&mut self, api: ApiClient<Channel>, target: &Target) {
        if let Some(requests) = self.waiting.take() {
            tokio::spawn(deliver(api, target.clone(), requests));
        }
    }
}

async fn deliver(mut api: ApiClient<Channel>, target: Target, mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        let failed = send(&mut api, &target, request).await.err();
        // Somebody who signals the client wants to know that it did not help. The rest is sent again
        // when the connection is back, or no longer matters because the process is gone.
        if let (Some(status), Request::Signal(signal)) = (failed, request)
            && !is_not_found(&status)
        {
            // Harmless where the terminal is not raw.
            let why = status.message();
            output::raw_note(&format!("gantry: cannot pass {signal} on to {}: {why}", target.container));
        }
    }
}

async fn send(api: &mut ApiClient<Channel>, target: &Target, request: Request) -> Result<(), Status> {
    let (id, pid) = (target.container.clone(), target.process.clone());
    let update = UpdateProcessRequest { id: id.clone(), pid: pid.clone(), ..UpdateProcessRequest::default() };
    match request {
        Request::Signal(signal) => {
            let message = SignalRequest { id, pid, signal: signal.number() };
            api.signal(timed(message, TIMEOUT)).await.map(drop::<Response<_>>)
        }
        Request::Resize(Size { width, height }) => {
            let message = UpdateProcessRequest { width: width.into(), height: height.into(), ..update };
            api.update_process(timed(message, TIMEOUT)).await.map(drop::<Response<_>>)
        }
        Request::CloseStdin => {
            let message = UpdateProcessRequest { close_stdin: true, ..update };
            api.update_process(timed(message, TIMEOUT)).await.map(drop::<Response<_>>)
        }
    }
}
