//! Wiring: state dir, supervisor, services, signals.

use crate::args::{Args, ShimStart};
use crate::error::Error;
use crate::listen::{Incoming, Listener, Tls, incoming, listen, listen_for_telemetry};
use crate::lock::StateDirLock;
use crate::memory;
use crate::names::Names;
use crate::reload::Reloader;
use crate::signals::{Signals, Wish};
use crate::telemetry::{self, Pages, Telemetry};
use gantry_api::server::{Api, Containers, Health, ReadableMessagesLayer, Version};
use gantry_container::cgroup::Cgroups;
use gantry_container::{Consoles, Resident, Settings};
use gantry_oci::Runtime;
use gantry_record::StateDir;
use gantry_record::failpoint;
use gantry_supervisor::traces::{self, TraceSender};
use gantry_supervisor::{Options, Supervisor};
use sd_notify::NotifyState;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tower::layer::util::{Identity, Stack};
use tracing::{info, warn};

/// How long calls that are being answered may take once the daemon is told to stop.
const STOP_LIMIT: Duration = Duration::from_millis(500);
/// Calls at once on one connection. Each event stream is one, and clients such as dockerd have a single connection.
const MAX_STREAMS: u32 = 16_384;
/// How often a client over TCP that says nothing is asked whether it is there, and how long it has to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// Serves until a signal says to stop.
pub(crate) async fn serve(mut reloader: Reloader, names: &Names) -> Result<(), Error> {
    let args = reloader.args().clone();
    let mut signals = Signals::catch()?;
    let tls = Tls::of(&args)?;
    let state = StateDir::new(absolute(&args.state_dir));
    if let Some(mode) = state.create()? {
        warn!(path = %state.path().display(), "others could write to the state dir; its mode is {mode:04o} now");
    }
    failpoint::at("daemon::open::begun");
    let _lock = StateDirLock::take(&state)?;
    failpoint::at("daemon::open::locked");
    let listener = listen(&args.listen).await?;
    failpoint::at("daemon::open::listening");
    warn_of_strangers(&listener, tls.as_ref(), &args);
    let pages = listen_for_pages(&args).await?;
    let sockets: Vec<_> = [&listener]
        .into_iter()
        .chain(pages.iter().map(|(listener, _)| listener))
        .map(Listener::path)
        .collect();
    let options = options(&args, state);
    if let Some(resident) = options.settings.resident.clone() {
        tokio::spawn(async move { resident.warm_up().await });
    }
    let supervisor = Supervisor::open(options)?;
    info!(
        version = names.version, listen = %args.listen, state_dir = %args.state_dir.display(),
        "{} started", names.program
    );
    if let Some(file) = reloader.file() {
        info!(file, "settings were read from a file");
    }
    let telemetry = Telemetry::new(supervisor.clone(), &args, names);
    telemetry.spawn(&args);
    for (listener, pages) in pages {
        tokio::spawn(telemetry::serve(listener, pages, telemetry.clone()));
    }
    tokio::spawn(announce(supervisor.clone()));
    tokio::spawn(memory::give_back(supervisor.clone()));

    let is_tcp = matches!(listener, Listener::Tcp(_));
    let services = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(is_tcp.then_some(KEEPALIVE.0))
        .http2_keepalive_timeout(is_tcp.then_some(KEEPALIVE.1))
        .layer(ReadableMessagesLayer)
        .add_service(Health::service())
        .add_service(Containers::service(supervisor.clone()))
        .add_service(Api::service(supervisor.clone(), version(names)));
    let stop = async move {
        loop {
            match signals.next().await {
                Wish::Reload => reloader.reload(names, &supervisor),
                Wish::Dump => telemetry.dump(),
                Wish::Stop(signal) => {
                    info!("stopping {} after receiving {signal}; containers keep running", names.program);
                    return;
                }
            }
        }
    };
    let result = run(services, incoming(listener, tls), stop).await;
    sockets.iter().for_each(|path| Listener::remove(path.as_deref()));
    result
}

/// Traces of starts go to whom the flags name, or are not made at all.
fn traces(args: &Args) -> Option<TraceSender> {
    let endpoint = args.otlp_endpoint.clone()?;
    let (sender, receiver) = traces::channel();
    info!(%endpoint, "sending traces");
    tokio::spawn(telemetry::send_traces(endpoint, receiver));
    Some(sender)
}

fn options(args: &Args, state: StateDir) -> Options {
    Options {
        settings: Settings {
            state,
            runtime: Runtime::new(args.runtime.clone(), args.runtime_args.clone()),
            shim: args.shim.clone(),
            resident: match args.shim_start {
                ShimStart::Fork => Resident::for_shim(&args.shim).map(Arc::new),
                ShimStart::Exec => None,
            },
            start_timeout: args.start_timeout,
            on_shim_death: args.on_shim_death.into(),
            cgroups: Cgroups::discover(),
            consoles: Consoles::default(),
            orphans: Arc::default(),
        },
        retain_events: args.retain_events(),
        start_workers: args.start_workers(),
        traces: traces(args),
    }
}

/// Opens what the flags say for metrics and debug pages.
async fn listen_for_pages(args: &Args) -> Result<Vec<(Listener, Pages)>, Error> {
    let mut listeners = Vec::new();
    for (address, pages) in [(&args.metrics_address, Pages::Metrics), (&args.pprof_address, Pages::All)] {
        let Some(address) = address.as_deref().filter(|address| !address.is_empty()) else { continue };
        listeners.push((listen_for_telemetry(address).await?, pages));
        info!(address, "serving {}", if pages == Pages::All { "/debug/ and /metrics" } else { "/metrics" });
    }
    Ok(listeners)
}

/// Whoever can connect is root on this host.
fn warn_of_strangers(listener: &Listener, tls: Option<&Tls>, args: &Args) {
    let (address, is_tcp) = (&args.listen, matches!(listener, Listener::Tcp(_)));
    match tls {
        Some(_) if !is_tcp => warn!(address, "TLS is for tcp listeners; this one does without"),
        Some(tls) if !tls.proves_clients() => warn!(
            address,
            "serving without authentication: whoever can connect is root on this host; --tls-client-ca prevents it"
        ),
        None if is_tcp => {
            warn!(
                address,
                "serving without encryption or authentication: whoever can connect is root on this host"
            );
        }
        _ => {}
    }
}

/// All services, their error texts made readable.
type Services = Router<Stack<ReadableMessagesLayer, Identity>>;

/// Serves what comes in until `stop` completes, and then for a moment more what is being answered.
async fn run(
    services: Services,
    incoming: ReceiverStream<Incoming>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
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
    // Event streams never end by themselves. Whatever else goes wrong now: it was told to stop, and it stops.
    if let Ok(Err(error)) = tokio::time::timeout(STOP_LIMIT, serving).await {
        warn!(%error, "the gRPC server failed while stopping");
    }
    Ok(())
}

/// Tells the service manager, if there is one, that the daemon serves and knows its containers.
async fn announce(supervisor: Supervisor) {
    supervisor.restored().await;
    info!("ready");
    failpoint::at("daemon::open::ready");
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
