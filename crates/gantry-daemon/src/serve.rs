//! Wiring: state dir, supervisor, services, signals.

use crate::args::Args;
use crate::error::Error;
use crate::listen::{Listener, listen};
use crate::lock::StateDirLock;
use crate::names::Names;
use gantry_api::server::{AnyAuthority, Api, Containers, Health, ReadableMessagesLayer, Version};
use gantry_container::Settings;
use gantry_container::cgroup::Cgroups;
use gantry_oci::Runtime;
use gantry_record::StateDir;
use gantry_supervisor::{Options, Supervisor};
use sd_notify::NotifyState;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::{Connected, Router};
use tower::layer::util::{Identity, Stack};
use tracing::{info, warn};

/// How long calls that are being answered may take once the daemon is told to stop.
const STOP_LIMIT: Duration = Duration::from_millis(500);

/// Serves until a signal says to stop.
pub(crate) async fn serve(args: &Args, names: &Names) -> Result<(), Error> {
    let mut stop = StopSignals::catch()?;
    let state = StateDir::new(absolute(&args.state_dir));
    state.create()?;
    let _lock = StateDirLock::take(&state)?;
    let listener = listen(&args.listen).await?;
    let supervisor = Supervisor::open(Options {
        settings: Settings {
            state,
            runtime: Runtime::new(args.runtime.clone(), args.runtime_args.clone()),
            shim: args.shim.clone(),
            start_timeout: args.start_timeout,
            on_shim_death: args.on_shim_death.into(),
            cgroups: Cgroups::discover(),
        },
        retain_events: args.retain_events(),
        start_workers: args.start_workers(),
    })?;
    info!(version = names.version, listen = %args.listen, state_dir = %args.state_dir.display(), "{} started", names.program);
    tokio::spawn(announce(supervisor.clone()));

    let services = Server::builder()
        .layer(ReadableMessagesLayer)
        .add_service(Health::service())
        .add_service(Containers::service(supervisor.clone()))
        .add_service(Api::service(supervisor, version(names)));
    let stop = async move {
        let name = stop.received().await;
        info!("stopping {} after receiving {name}; containers keep running", names.program);
    };
    let (result, socket) = match listener {
        Listener::Unix(listener, path) => {
            let incoming = UnixListenerStream::new(listener).map(|accepted| accepted.map(AnyAuthority::new));
            (run(services, incoming, stop).await, Some(path))
        }
        Listener::Tcp(listener) => {
            let incoming = TcpListenerStream::new(listener).map(|accepted| accepted.map(AnyAuthority::new));
            (run(services, incoming, stop).await, None)
        }
    };
    if let Some(path) = socket
        && let Err(error) = std::fs::remove_file(&path)
    {
        warn!(%error, path = %path.display(), "the socket cannot be removed");
    }
    result
}

/// All services, their error texts made readable.
type Services = Router<Stack<ReadableMessagesLayer, Identity>>;

/// Serves what comes in until `stop` completes, and then for a moment more what is being answered.
async fn run<I, S, E>(services: Services, incoming: I, stop: impl Future<Output = ()>) -> Result<(), Error>
where
    I: Stream<Item = Result<S, E>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    let (stopping, told) = oneshot::channel::<()>();
    let serving = services.serve_with_incoming_shutdown(incoming, async {
        // The sender is dropped at the latest when this function returns.
        let _ = told.await;
    });
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return result.map_err(Error::from),
        () = stop => {}
    }
    notify(NotifyState::Stopping);
    drop(stopping);
    // Event streams never end by themselves.
    match tokio::time::timeout(STOP_LIMIT, serving).await {
        Ok(result) => result.map_err(Error::from),
        Err(_) => Ok(()),
    }
}

/// Tells the service manager, if there is one, that the daemon serves and knows its containers.
async fn announce(supervisor: Supervisor) {
    supervisor.restored().await;
    info!("ready");
    notify(NotifyState::Ready);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the service manager cannot be told");
    }
}

/// Records hold paths, and shims have other working directories than the daemon.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn version(names: &Names) -> Version {
    let mut numbers = names.version.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Version { major: next(), minor: next(), patch: next(), revision: names.commit().to_owned() }
}

/// The signals that stop the daemon.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn catch() -> Result<Self, Error> {
        let catch = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
