//! What the daemon tells about itself: metrics over HTTP, to Graphite and to the log; and, for people, what it is
//! doing.
//!
//! The figures are gathered when somebody asks ([`figures`]); nothing is computed while nobody does.

mod figures;
mod graphite;
mod http;
mod otlp;
mod processes;
mod render;
mod report;
mod spans;

#[cfg(feature = "fuzzing")]
pub(crate) use http::fuzzing;
pub(crate) use http::{Pages, serve};
pub(crate) use otlp::{Endpoint, send as send_traces};

use crate::args::Args;
use crate::names::Names;
use figures::Family;
use gantry_supervisor::Supervisor;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, info};

/// Where figures come from. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    supervisor: Supervisor,
    about: Arc<About>,
}

/// What does not change.
#[derive(Debug)]
struct About {
    program: &'static str,
    version: &'static str,
    /// The name that the kernel gives a shim's process.
    shim: String,
    started: Instant,
}

impl Telemetry {
    /// Figures of a supervisor.
    pub(crate) fn new(supervisor: Supervisor, args: &Args, names: &Names) -> Self {
        let shim = processes::name_of(args.shim.as_ref());
        let about = About { program: names.program, version: names.version, shim, started: Instant::now() };
        Self { supervisor, about: Arc::new(about) }
    }

    /// All figures, as they are now. Reading those of processes takes a while, so it is done beside the event loop.
    async fn figures(&self) -> Vec<Family> {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let this = self.clone();
        let gathered =
            tokio::task::spawn_blocking(move || figures::gather(&this.supervisor, &this.about, tasks));
        // It neither panics nor is it cancelled, except when the daemon is stopping.
        gathered.await.unwrap_or_default()
    }

    /// Writes what the daemon is doing to the log.
    pub(crate) fn dump(&self) {
        for line in report::lines(&self.supervisor, &self.about) {
            info!("state: {line}");
        }
    }

    /// Sends and logs figures for ever, as the flags say.
    pub(crate) fn spawn(&self, args: &Args) {
        if let Some(address) = args.graphite_address.clone() {
            tokio::spawn(graphite::send(self.clone(), address));
        }
        if args.debug && !args.metrics_interval.is_zero() {
            tokio::spawn(self.clone().log(args.metrics_interval));
        }
    }

    async fn log(self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            debug!("metrics: {}", render::line(&self.figures().await));
        }
    }
}
