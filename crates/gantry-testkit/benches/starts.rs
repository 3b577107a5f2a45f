//! How long starts take: through the daemon with each runtime, and by each runtime's own command, all in one run.
//!
//! `cargo bench -p gantry-testkit --bench starts` after `make build`; `-- COUNT` says how many of each (200). These machines are
//! shared, so only ratios within one run mean much. Times are milliseconds: the least, the median, the 95th percentile.

#![allow(clippy::expect_used, reason = "a benchmark that cannot go on has nothing to report")]

use gantry_api::client;
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{AddProcessRequest, CreateContainerRequest, SignalRequest, StateRequest, User};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Runtime, RuntimeCommand};
use serde_json::json;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// A pause between two starts: what the kernel and the caches then have forgotten counts too.
const PAUSE: Duration = Duration::from_millis(100);
/// Of paused starts, so many as of the others divided by this.
const PAUSED_SHARE: usize = 5;
/// Starts at once.
const AT_ONCE: usize = 64;

const RUNTIMES: [Runtime; 3] = [Runtime::BuiltIn, Runtime::Runc, Runtime::Crun];

#[tokio::main]
async fn main() {
    let count = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(200);
    println!("{:<44}{:>8}{:>8}{:>8}", "", "least", "median", "95 %");
    for runtime in RUNTIMES {
        through_the_daemon(runtime, count).await;
    }
    // In turns, so that a noisy moment meets all of them.
    let mut alone = RUNTIMES.map(Alone::new);
    for (pause, share) in [(Duration::ZERO, 1), (PAUSE, PAUSED_SHARE)] {
        let mut times = RUNTIMES.map(|_| Vec::new());
        for _ in 0..count / share {
            for (alone, times) in alone.iter_mut().zip(&mut times) {
                std::thread::sleep(pause);
                times.push(alone.run());
            }
        }
        let what = if pause.is_zero() { "`run` of true" } else { "`run` of true, paused" };
        let medians: Vec<f64> = RUNTIMES
            .iter()
            .zip(times)
            .map(|(runtime, times)| print(&format!("{} {what}", runtime.name()), times))
            .collect();
        println!(
            "  built in / crun: {:.2}, built in / runc: {:.2}",
            medians[0] / medians[2],
            medians[0] / medians[1]
        );
    }
}

/// Prints a line; the median.
fn print(what: &str, mut times: Vec<Duration>) -> f64 {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{what:<44}{:>8.2}{:>8.2}{:>8.2}", at(0), at(50), at(95));
    at(50)
}

/// A runtime without anybody around it.
struct Alone {
    command: RuntimeCommand,
    bundle: Bundle,
    number: usize,
}

impl Alone {
    fn new(runtime: Runtime) -> Self {
        let bundle = Bundle::busybox().args(["true"]).build();
        Self { command: runtime.command(bundle.scratch()), bundle, number: 0 }
    }

    fn run(&mut self) -> Duration {
        self.number += 1;
        let mut command = self.command.subcommand("run");
        command.arg("--bundle").arg(self.bundle.path()).arg(format!("{}-{}", self.bundle.id(), self.number));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let began = Instant::now();
        let status = command.status().expect("the runtime runs");
        let took = began.elapsed();
        assert!(status.success(), "{status}");
        took
    }
}

async fn through_the_daemon(runtime: Runtime, count: usize) {
    let daemon = Daemon::start(DaemonOptions::new(runtime).arg("--debug=false"));
    let mut api = ApiClient::new(client::connect(&daemon.address()).await.expect("a connection"));
    let bundle = daemon.bundle().args(["sleep", "100000"]).build();
    let name = runtime.name();
    let mut numbers = 0..;

    // The first ones find nothing in any cache.
    for _ in 0..5 {
        let request = request(&bundle, numbers.next().unwrap_or_default());
        start(&mut api, &request).await;
        end(&mut api, &request.id).await;
    }
    for (pause, share) in [(Duration::ZERO, 1), (PAUSE, PAUSED_SHARE)] {
        let mut times = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..count / share {
            let request = request(&bundle, numbers.next().unwrap_or_default());
            tokio::time::sleep(pause).await;
            times.push(start(&mut api, &request).await);
            ids.push(request.id);
        }
        print(&format!("{name} create + start{}", if pause.is_zero() { "" } else { ", paused" }), times);
        for id in ids {
            end(&mut api, &id).await;
        }
    }

    let requests: Vec<_> = (0..count).map(|_| request(&bundle, numbers.next().unwrap_or_default())).collect();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for share in requests.chunks(count.div_ceil(AT_ONCE)) {
        let (share, mut api) = (share.to_vec(), api.clone());
        tasks.spawn(async move {
            for request in share {
                start(&mut api, &request).await;
            }
        });
    }
    tasks.join_all().await;
    let rate = f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / began.elapsed().as_secs_f64();
    println!("{:<44}{rate:>8.0} /s", format!("{name} create + start, {AT_ONCE} at a time"));
    for request in &requests {
        end(&mut api, &request.id).await;
    }

    let target = request(&bundle, numbers.next().unwrap_or_default());
    start(&mut api, &target).await;
    let mut times = Vec::new();
    for number in 0..count {
        let exec = AddProcessRequest {
            id: target.id.clone(),
            pid: format!("e{number}"),
            args: vec!["sleep".to_owned(), "100000".to_owned()],
            cwd: "/".to_owned(),
            env: vec!["PATH=/bin".to_owned()],
            user: Some(User::default()),
            ..Default::default()
        };
        let began = Instant::now();
        api.add_process(exec).await.expect("an exec starts");
        times.push(began.elapsed());
    }
    print(&format!("{name} exec"), times);
    end(&mut api, &target.id).await;
}

/// A container of its own with the root of `bundle`.
fn request(bundle: &Bundle, number: usize) -> CreateContainerRequest {
    let path = bundle.scratch().path().join(format!("bench-{}-{number}", bundle.id()));
    fs::create_dir(&path).expect("a new folder");
    let mut config = bundle.config().clone();
    let cgroup = config["linux"]["cgroupsPath"].as_str().unwrap_or_default().to_owned();
    config["root"]["path"] = json!(bundle.rootfs());
    config["linux"]["cgroupsPath"] = json!(format!("{cgroup}-{number}"));
    fs::write(path.join("config.json"), config.to_string()).expect("a configuration");
    CreateContainerRequest {
        id: format!("{}-{number}", bundle.id()),
        bundle_path: path.to_string_lossy().into_owned(),
        ..Default::default()
    }
}

async fn start(api: &mut ApiClient<Channel>, request: &CreateContainerRequest) -> Duration {
    let began = Instant::now();
    api.create_container(request.clone()).await.expect("a container starts");
    began.elapsed()
}

async fn end(api: &mut ApiClient<Channel>, id: &str) {
    let kill = SignalRequest { id: id.to_owned(), pid: "init".to_owned(), signal: 9 };
    api.signal(kill).await.expect("a signal is sent");
    while api.state(StateRequest { id: id.to_owned() }).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
