//! Traces of starts, for whoever sends them somewhere. Without one, nothing is noted.

use gantry_container::Trace;
use gantry_record::{ContainerId, ProcessId};
use tokio::sync::mpsc;

/// Starts that may wait to be sent; more are not traced.
const QUEUE: usize = 256;

/// A start, from its request to its answer.
#[derive(Clone, Debug)]
pub struct StartTrace {
    /// The container.
    pub container: ContainerId,
    /// `init`, or the exec's id.
    pub process: ProcessId,
    /// The runtime's program.
    pub runtime: String,
    /// When it was asked for, in nanoseconds since 1970.
    pub asked: u64,
    /// What was done for it.
    pub trace: Trace,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Where traces go.
pub type TraceSender = mpsc::Sender<StartTrace>;

/// A bounded queue of traces.
#[must_use]
pub fn channel() -> (TraceSender, mpsc::Receiver<StartTrace>) {
    mpsc::channel(QUEUE)
}

/// A start that is being traced.
#[derive(Debug)]
pub(crate) struct Tracing {
    pub(crate) start: StartTrace,
    sender: TraceSender,
}

impl Tracing {
    pub(crate) fn begin(
        sender: &TraceSender,
        container: &ContainerId,
        process: &ProcessId,
        runtime: &str,
    ) -> Self {
        let start = StartTrace {
            container: container.clone(),
            process: process.clone(),
            runtime: runtime.to_owned(),
            asked: gantry_record::ready::now(),
            trace: Trace::default(),
            error: None,
        };
        Self { start, sender: sender.clone() }
    }

    /// Hands it over. One that finds the queue full is dropped: nobody waits for a trace.
    pub(crate) fn end(mut self, step: &'static str, error: Option<String>) {
        self.start.trace.done(step);
        self.start.error = error;
        let _ = self.sender.try_send(self.start);
    }
}
