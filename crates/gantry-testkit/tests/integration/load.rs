//! Many containers, clients and subscribers at once, some of whom never read; then a restart with all of them running.
//!
//! CI runs a small one. `GANTRY_LOAD=2000,64,100,50 cargo test -p gantry-testkit load -- --nocapture` is the whole of
//! it: so many containers, clients, subscribers, and how many of those never read. Figures go to standard output.

use crate::support::SOON;
use gantry_api::client;
use gantry_api::health::HealthCheckRequest;
use gantry_api::health::health_client::HealthClient;
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{CreateContainerRequest, Event, EventsRequest, SignalRequest, StateRequest};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Runtime};
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;

/// For each wait of a reader: the machine may be busy with thousands of starts.
const PATIENCE: Duration = Duration::from_secs(120);
/// Clients of 2017 call a daemon dead that does not answer within this time, three times.
const HEALTH_LIMIT: Duration = Duration::from_secs(3);

/// With so many containers, the daemon may have so many KB (docs of the design: 15 MB with 1,000).
const BUDGET: (usize, u64) = (1000, 15 << 10);
/// After which a daemon that has nothing to do has given back what it does not need.
const QUIET: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug)]
struct Size {
    containers: usize,
    clients: usize,
    subscribers: usize,
    /// Of the subscribers.
    silent: usize,
}

impl Size {
    fn from_environment() -> Self {
        let text = std::env::var("GANTRY_LOAD").unwrap_or_else(|_| "100,16,20,10".to_owned());
        let numbers: Vec<usize> =
            text.split(',').map(|n| n.parse().expect("a number in GANTRY_LOAD")).collect();
        let [containers, clients, subscribers, silent] = numbers[..] else { panic!("GANTRY_LOAD: {text}") };
        Self { containers, clients, subscribers, silent }
    }
}

/// The bundles of all containers: they share one root, and each has a cgroup of its own.
struct Bundles {
    prefix: String,
    requests: Vec<CreateContainerRequest>,
}

impl Bundles {
    fn make(daemon: &Daemon, count: usize) -> (Self, Bundle) {
        let shared = daemon.bundle().args(["sleep", "100000"]).build();
        let parent = shared.config()["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
        let request = |number: usize| {
            let path = daemon.scratch().path().join(format!("load-{number}"));
            fs::create_dir(&path).unwrap();
            let mut config = shared.config().clone();
            config["root"]["path"] = json!(shared.rootfs());
            config["linux"]["cgroupsPath"] = json!(format!("{parent}-{number}"));
            fs::write(path.join("config.json"), config.to_string()).unwrap();
            CreateContainerRequest {
                id: format!("{}-{number}", shared.id()),
                bundle_path: path.to_str().unwrap().to_owned(),
                ..Default::default()
            }
        };
        (Self { prefix: shared.id().to_owned(), requests: (0..count).map(request).collect() }, shared)
    }
}

fn pss_kb(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn connect(address: &str) -> Channel {
    timeout(SOON, client::connect(address)).await.expect("a connection in time").unwrap()
}

async fn subscribe(address: &str) -> Streaming<Event> {
    let mut api = ApiClient::new(connect(address).await);
    api.events(EventsRequest::default()).await.unwrap().into_inner()
}

/// What is asked for a container.
#[derive(Clone, Copy)]
enum Act {
    Create,
    Kill,
}

impl Act {
    async fn on(self, api: &mut ApiClient<Channel>, request: CreateContainerRequest) {
        match self {
            Self::Create => drop(api.create_container(request).await.unwrap()),
            Self::Kill => {
                let request = SignalRequest { id: request.id, pid: "init".to_owned(), signal: 9 };
                drop(api.signal(request).await.unwrap());
            }
        }
    }
}

/// Does something to each container, `clients` at a time, each client on a connection of its own. Returns how long each
/// took, sorted.
async fn share_out(
    address: &str,
    clients: usize,
    requests: &[CreateContainerRequest],
    act: Act,
) -> Vec<Duration> {
    let (requests, next) = (Arc::new(requests.to_vec()), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        let mut api = ApiClient::new(connect(address).await);
        tasks.spawn(async move {
            let mut took = Vec::new();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let began = Instant::now();
                act.on(&mut api, request.clone()).await;
                took.push(began.elapsed());
            }
            took
        });
    }
    let mut took: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    took.sort();
    took
}

/// Reads until there were so many events; they come in order, each once.
async fn read(mut stream: Streaming<Event>, count: usize) -> Vec<(String, String)> {
    let (mut seen, mut last) = (Vec::with_capacity(count), (0, 0));
    while seen.len() < count {
        let event = timeout(PATIENCE, stream.message()).await;
        let event = event.unwrap_or_else(|_| panic!("no event after {} of {count}", seen.len()));
        let event = event.expect("a reader is not cut off").expect("the stream goes on");
        let time = event.timestamp.map(|t| (t.seconds, t.nanos)).unwrap();
        assert!(time > last, "{event:?} came out of order");
        last = time;
        seen.push((event.r#type, event.id));
    }
    seen
}

/// Asks for health again and again until told to stop; returns the longest time that an answer took.
async fn watch_health(address: String, stop: Arc<AtomicBool>) -> Duration {
    let mut health = HealthClient::new(connect(&address).await);
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        health.check(HealthCheckRequest::default()).await.unwrap();
        longest = longest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    longest
}

/// A moment after it was restarted, and where there are so many containers that it counts.
fn keeps_to_its_budget(daemon: &Daemon, count: usize) {
    if count >= BUDGET.0 {
        std::thread::sleep(QUIET);
        let settled_kb = pss_kb(daemon.pid());
        println!("a moment later: {settled_kb} KB");
        assert!(settled_kb <= BUDGET.1, "{settled_kb} KB with {count} containers");
    }
}

#[test]
fn nothing_stalls_and_nothing_is_lost() {
    let size = Size::from_environment();
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let (bundles, _root) = Bundles::make(&daemon, size.containers);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{size:?}; idle daemon: {} KB", pss_kb(daemon.pid()));
    let address = daemon.address();

    // === everything at once ===
    let stop = Arc::new(AtomicBool::new(false));
    let (health, silent, readers, began, took) = runtime.block_on(async {
        let health = tokio::spawn(watch_health(address.clone(), Arc::clone(&stop)));
        let mut silent = Vec::new();
        for _ in 0..size.silent {
            silent.push(subscribe(&address).await);
        }
        let mut readers = JoinSet::new();
        for _ in size.silent..size.subscribers {
            readers.spawn(read(subscribe(&address).await, 2 * size.containers));
        }
        let began = Instant::now();
        let took = share_out(&address, size.clients, &bundles.requests, Act::Create).await;
        (health, silent, readers, began.elapsed(), took)
    });
    let per_second = took.len() as f64 / began.as_secs_f64();
    println!(
        "created {} in {began:.2?}: {per_second:.0} a second, median {:.1?}, longest {:.1?}",
        took.len(),
        took[took.len() / 2],
        took[took.len() - 1],
    );
    println!("daemon with all of them and all clients: {} KB", pss_kb(daemon.pid()));

    let ended = Instant::now();
    runtime.block_on(share_out(&address, size.clients, &bundles.requests, Act::Kill));
    println!("killed {} in {:.2?}", size.containers, ended.elapsed());
    let seen = runtime.block_on(async { readers.join_all().await });
    println!(
        "{} readers have {} events each, {:.2?} after the first kill",
        seen.len(),
        seen[0].len(),
        ended.elapsed()
    );
    for events in &seen {
        assert_eq!(events, &seen[0], "every reader sees the same");
    }
    for kind in ["start-container", "exit"] {
        let mut ids: Vec<&str> =
            seen[0].iter().filter(|(of, _)| of == kind).map(|(_, id)| id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), size.containers, "one {kind} for each");
        assert!(ids.iter().all(|id| id.starts_with(&bundles.prefix)));
    }
    stop.store(true, Ordering::Relaxed);
    let longest = runtime.block_on(health).unwrap();
    println!("longest wait for health: {longest:.1?}");
    assert!(longest < HEALTH_LIMIT, "{longest:?}");
    println!("daemon when all have ended: {} KB", pss_kb(daemon.pid()));
    drop(silent);

    // === restarts ===
    for count in [100, 1000].into_iter().filter(|count| *count <= size.containers) {
        let some = &bundles.requests[..count];
        runtime.block_on(share_out(&address, size.clients, some, Act::Create));
        // With what the heap has left of all that were there before: a figure, not a promise.
        println!("daemon with {count}: {} KB", pss_kb(daemon.pid()));
        daemon.kill_hard();
        let began = Instant::now();
        daemon.restart();
        let listed = runtime.block_on(async {
            let mut api = ApiClient::new(connect(&address).await).max_decoding_message_size(64 << 20);
            api.state(StateRequest::default()).await.unwrap().into_inner().containers.len()
        });
        println!(
            "restarted with {count}: all listed after {:.0?}; {} KB",
            began.elapsed(),
            pss_kb(daemon.pid())
        );
        assert_eq!(listed, count);
        keeps_to_its_budget(&daemon, count);
        runtime.block_on(async {
            let events = tokio::spawn(read(subscribe(&address).await, count));
            share_out(&address, size.clients, some, Act::Kill).await;
            events.await.unwrap();
        });
    }
}
