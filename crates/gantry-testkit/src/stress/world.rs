//! The daemon on its small disk, and the containers' bundles.

use super::options::{Options, RuntimeName};
use super::payload::{Payload, Streams};
use crate::{Bundle, Daemon, DaemonOptions, Runtime, RuntimeCommand, Scratch};
use gantry_api::types::CreateContainerRequest;
use gantry_record::layout::FILE_MODE;
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a daemon may take to listen again.
const READY_LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What all clients and faults share.
pub(super) struct World {
    daemon: Mutex<Daemon>,
    pub(super) scratch: Arc<Scratch>,
    pub(super) address: String,
    pub(super) socket: PathBuf,
    pub(super) state_dir: PathBuf,
    /// Set when no more operations are to come.
    pub(super) stop: AtomicBool,
    runtimes: Vec<(RuntimeName, RuntimeCommand)>,
    shared: Bundle,
    home: PathBuf,
}

/// What a container's client holds of it on this machine.
#[derive(Debug)]
pub(super) struct Place {
    bundle: PathBuf,
    stdout: Option<File>,
    log: Option<PathBuf>,
}

// === impl World ===

impl World {
    pub(super) fn new(options: &Options) -> io::Result<Self> {
        let scratch = Scratch::new();
        let state_dir = crate::daemon::state_dir(&scratch);
        fs::create_dir(&state_dir)?;
        let size =
            std::ffi::CString::new(format!("size={}m,mode=0700", options.disk)).map_err(io::Error::other)?;
        mount("tmpfs", &state_dir, "tmpfs", MountFlags::empty(), &*size)?;
        // All events are kept: the log is the whole story.
        let mut daemon_options = DaemonOptions::new(Runtime::BuiltIn).arg("--retain-count=0");
        if options.adopt {
            daemon_options = daemon_options.arg("--on-shim-death=adopt");
        }
        let runtimes = options.runtimes.iter().map(|name| (*name, Runtime::from(*name).command(&scratch)));
        let runtimes = runtimes.collect();
        let daemon = Daemon::start_in(&scratch, daemon_options);
        let home = scratch.path().join("stress");
        fs::create_dir(&home)?;
        let shared = daemon.bundle().build();
        Ok(Self {
            address: daemon.address(),
            socket: daemon.socket(),
            daemon: Mutex::new(daemon),
            scratch,
            state_dir,
            stop: AtomicBool::new(false),
            runtimes,
            shared,
            home,
        })
    }

    pub(super) fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Starts the daemon again and waits until it listens. How often it ended by itself instead, which only a full disk
    /// excuses.
    pub(super) fn revive(&self, daemon: &mut Daemon) -> Result<usize, String> {
        let began = Instant::now();
        let mut ended = 0;
        daemon.restart_without_waiting();
        loop {
            // A socket of the daemon before is refused.
            if UnixStream::connect(&self.socket).is_ok() {
                return Ok(ended);
            }
            if daemon.ended().is_some() {
                ended += 1;
                thread::sleep(LOOK_AGAIN * 10);
                daemon.restart_without_waiting();
            }
            if began.elapsed() > READY_LIMIT {
                return Err(format!("the daemon does not listen {READY_LIMIT:?} after its start"));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// The runtime for one container: most often the first.
    pub(super) fn runtime(&self, choice: usize) -> (RuntimeName, &RuntimeCommand) {
        let (name, command) = match self.runtimes.len() {
            0 | 1 => &self.runtimes[0],
            more if choice.is_multiple_of(5) => &self.runtimes[1 + (choice / 5) % (more - 1)],
            _ => &self.runtimes[0],
        };
        (*name, command)
    }

    /// Makes the container's bundle, on the root that all share, and what its streams need.
    pub(super) fn prepare(
        &self,
        id: &str,
        payload: &Payload,
        runtime: &RuntimeCommand,
    ) -> io::Result<(CreateContainerRequest, Place)> {
        let bundle = self.home.join(id);
        fs::create_dir(&bundle)?;
        let mut config: Value = self.shared.config().clone();
        config["root"]["path"] = json!(self.shared.rootfs());
        config["process"]["args"] = json!(payload.args);
        config["process"]["terminal"] = json!(payload.terminal);
        config["linux"]["cgroupsPath"] = json!(format!("/{}/{id}", self.scratch.cgroup()));
        config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        fs::write(bundle.join("config.json"), config.to_string())?;
        let mut place = Place { bundle: bundle.clone(), stdout: None, log: None };
        let mut stdout = String::new();
        match payload.streams {
            Streams::Null => {}
            Streams::Fifos => {
                let fifo = bundle.join("stdout");
                gantry_record::fifo::make(&fifo, FILE_MODE).map_err(io::Error::other)?;
                let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
                place.stdout = Some(OpenOptions::new().read(true).custom_flags(flags).open(&fifo)?);
                stdout = text(&fifo);
            }
            Streams::Log => {
                let log = bundle.join("log");
                stdout = format!("gantry-log://{}", log.display());
                place.log = Some(log);
            }
        }
        // What a process complains of, for its story.
        let stderr = if payload.terminal { String::new() } else { text(&bundle.join("stderr")) };
        if !stderr.is_empty() {
            File::create(&stderr)?;
        }
        let request = CreateContainerRequest {
            id: id.to_owned(),
            stderr,
            bundle_path: text(&bundle),
            stdout,
            runtime: runtime.program.clone(),
            runtime_args: runtime.args.clone(),
            ..Default::default()
        };
        Ok((request, place))
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

// === impl Place ===

impl Place {
    /// What the container has written; `None` when nobody keeps that.
    pub(super) fn output(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        if let Some(fifo) = &mut self.stdout {
            // What was there before the first "would block" has been read.
            let _ = fifo.read_to_end(&mut bytes);
        } else {
            bytes = fs::read(self.log.as_ref()?).unwrap_or_default();
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What the container has complained of.
    pub(super) fn complaint(&self) -> Option<String> {
        fs::read_to_string(self.bundle.join("stderr")).ok().filter(|text| !text.is_empty())
    }

    /// Removes the bundle of a container that has ended.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_dir_all(&self.bundle) {
            eprintln!("stress: cannot remove {}: {error}", self.bundle.display());
        }
    }
}
