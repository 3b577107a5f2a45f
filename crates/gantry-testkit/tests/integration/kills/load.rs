//! Clients that make containers and execs, and go on when the daemon is gone for a moment.

use crate::support::{Random, SIGKILL, exec_request};
use gantry_api::client;
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{CreateContainerRequest, SignalRequest, StateRequest};
use gantry_testkit::{Bundle, Daemon, wait_until};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Who make containers at the same time.
const CLIENTS: usize = 4;
/// How soon a client tries again.
const AGAIN: Duration = Duration::from_millis(5);
/// How long one process may be tried to be ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that a client has asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) container: String,
    /// `init`, or the exec's id.
    pub(super) process: String,
    /// What it ends with.
    pub(super) status: u32,
    /// Whether the client was told that it runs.
    pub(super) answered: bool,
    /// The file in which it leaves word of itself.
    pub(super) witness: PathBuf,
}

/// All clients together.
pub(super) struct Load {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Asked>>,
    // Its root is everybody's.
    _shared: Bundle,
}

struct Client {
    api: ApiClient<Channel>,
    /// Of all clients: how many calls were answered.
    answers: Arc<AtomicUsize>,
    random: Random,
    number: usize,
    home: PathBuf,
    rootfs: PathBuf,
    config: Value,
    asked: Vec<Asked>,
}

/// Whether a call failed because the daemon has gone, rather than because it said no.
fn is_lost(status: &Status) -> bool {
    status.source().is_some() || matches!(status.code(), Code::Unavailable | Code::Cancelled)
}

// === impl Load ===

impl Load {
    pub(super) fn start(daemon: &Daemon, seed: u64) -> Self {
        let shared = daemon.bundle().build();
        fs::create_dir(shared.rootfs().join("witness")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let channel = runtime.block_on(client::connect(&daemon.address())).unwrap();
            let client = Client {
                api: ApiClient::new(channel),
                answers: Arc::clone(&answers),
                random: Random::new(seed.wrapping_mul(1000) + u64::try_from(number).unwrap()),
                number,
                home: daemon.scratch().path().to_owned(),
                rootfs: shared.rootfs(),
                config: shared.config().clone(),
                asked: Vec::new(),
            };
            clients.spawn_on(client.run(Arc::clone(&stop)), runtime.handle());
        }
        Self { runtime, stop, answers, clients, _shared: shared }
    }

    /// Until so many more calls were answered.
    pub(super) fn wait_for_answers(&self, more: usize) {
        let enough = self.answers.load(Ordering::Relaxed) + more;
        wait_until("answers", PATIENCE, || self.answers.load(Ordering::Relaxed) >= enough);
    }

    /// All that was asked for. Nothing of it is still to be ended by a client.
    pub(super) fn stop(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        self.runtime.block_on(self.clients.join_all()).into_iter().flatten().collect()
    }
}

// === impl Client ===

impl Client {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Vec<Asked> {
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            let container = format!("kills-{}-{round}", self.number);
            if self.random.chance(60) {
                self.one_that_ends(&container).await;
            } else {
                self.one_that_is_ended(&container).await;
            }
        }
        self.asked
    }

    /// What a process runs that says when it begins and ends.
    fn script(&mut self, witness: &str, status: u32) -> String {
        let microseconds = self.random.below(60_000);
        format!(
            "echo begin >/witness/{witness}; usleep {microseconds}; echo end >>/witness/{witness}; exit {status}"
        )
    }

    fn note(&mut self, container: &str, process: &str, witness: &str, status: u32, answered: bool) {
        self.asked.push(Asked {
            container: container.to_owned(),
            process: process.to_owned(),
            status,
            answered,
            witness: self.rootfs.join("witness").join(witness),
        });
    }

    async fn create(&mut self, container: &str, script: &str) -> bool {
        let request = create_request(&self.home, container, &self.config, &self.rootfs, script);
        match self.api.create_container(request).await {
            Ok(_) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(status) if is_lost(&status) => {
                tokio::time::sleep(AGAIN).await;
                false
            }
            Err(status) => panic!("{container}: {status:?}"),
        }
    }

    /// A status that tells this process from its neighbours, and from a kill.
    fn status(&mut self) -> u32 {
        u32::try_from(self.random.below(120)).unwrap()
    }

    async fn one_that_ends(&mut self, container: &str) {
        let status = self.status();
        let script = self.script(container, status);
        let answered = self.create(container, &script).await;
        self.note(container, "init", container, status, answered);
    }

    /// A container that runs until it is killed, with an exec that ends by itself.
    async fn one_that_is_ended(&mut self, container: &str) {
        let script = format!("echo begin >/witness/{container}; exec sleep 1000");
        let answered = self.create(container, &script).await;
        self.note(container, "init", container, 128 + SIGKILL, answered);
        let status = self.status();
        let witness = format!("{container}.e1");
        let script = self.script(&witness, status);
        let exec = self.api.add_process(exec_request(container, "e1", &["sh", "-c", &script])).await;
        match &exec {
            Ok(_) => drop(self.answers.fetch_add(1, Ordering::Relaxed)),
            Err(status) if is_lost(status) || !answered => {}
            // A daemon that was killed between the answer and the exec has not forgotten the container.
            Err(status) => panic!("{container}: {status:?}"),
        }
        self.note(container, "e1", &witness, status, exec.is_ok());
        self.wait_for_the_execs_end(container).await;
        self.kill(container).await;
    }

    /// Until no exec runs: killed with its container, it would have another status than its own.
    async fn wait_for_the_execs_end(&mut self, container: &str) {
        let began = Instant::now();
        loop {
            match self.api.state(StateRequest { id: container.to_owned() }).await {
                Ok(answer) if answer.get_ref().containers[0].processes.len() <= 1 => return,
                Err(status) if status.message().contains("container not found") => return,
                Err(status) if !is_lost(&status) => panic!("{container}: {status:?}"),
                _ => {}
            }
            assert!(began.elapsed() < PATIENCE, "the exec of {container} does not end");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Kills a container, if there is one, however often the daemon dies meanwhile.
    async fn kill(&mut self, container: &str) {
        let request = SignalRequest { id: container.to_owned(), pid: "init".to_owned(), signal: SIGKILL };
        let began = Instant::now();
        loop {
            match self.api.signal(request.clone()).await {
                Ok(_) => return,
                Err(status) if status.message().contains("not found") => return,
                Err(status) if status.message().contains("no such process") => return,
                Err(status) if is_lost(&status) => {}
                Err(status) => panic!("{container}: {status:?}"),
            }
            assert!(began.elapsed() < PATIENCE, "{container} cannot be killed");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// A bundle of its own on the shared root.
fn create_request(
    home: &Path,
    container: &str,
    config: &Value,
    rootfs: &Path,
    script: &str,
) -> CreateContainerRequest {
    let bundle = home.join(container);
    fs::create_dir(&bundle).unwrap();
    let mut config = config.clone();
    config["root"]["path"] = json!(rootfs);
    config["process"]["args"] = json!(["sh", "-c", script]);
    let parent = config["linux"]["cgroupsPath"].as_str().unwrap().to_owned();
    config["linux"]["cgroupsPath"] = json!(format!("{parent}-{container}"));
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    CreateContainerRequest {
        id: container.to_owned(),
        bundle_path: bundle.to_str().unwrap().to_owned(),
        ..Default::default()
    }
}
