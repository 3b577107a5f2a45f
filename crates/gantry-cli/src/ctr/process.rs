//! `ctr containers start` and `ctr containers exec`: what starts a process.

use std::fs;
use std::path::Path;

use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{AddProcessRequest, CreateContainerRequest, User};
use serde::Deserialize;
use tonic::Status;
use tonic::transport::Channel;

use super::attach::Attached;
use super::calls::Daemon;
use super::command::{
    ATTACH, CHECKPOINT, CHECKPOINT_DIR, CWD, ENV, GID, ID, LABEL, NEW_PID, NO_PIVOT, RUNTIME, RUNTIME_ARGS,
    TTY, UID,
};
use super::containers::{CONTAINER_ID, number32};
use super::error::Error;
use super::go;
use super::line::Run;
use super::stdio::Directory;
use crate::attach::Target;
use crate::id::INIT;

/// What of a bundle's `config.json` concerns a client.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    process: Process,
}

#[derive(Debug, Default, Deserialize)]
struct Process {
    #[serde(default)]
    terminal: bool,
}

/// How the process is started, and what the client does meanwhile.
struct Starting<'a> {
    api: &'a ApiClient<Channel>,
    target: Target,
    attach: bool,
    terminal: bool,
}

pub(crate) async fn start(daemon: &Daemon, run: &Run) -> Result<u8, Error> {
    let flags = &run.flags;
    let bundle = run.required(1, "bundle path")?;
    let id = run.required(0, CONTAINER_ID)?;
    let bundle = go::absolute(Path::new(&bundle)).map_err(|source| Error::File {
        step: "find",
        path: bundle.clone().into(),
        source,
    })?;
    let bundle_path = bundle.to_str().map(str::to_owned).ok_or_else(|| Error::NotUtf8(bundle.clone()))?;
    let attach = flags.is_on(&ATTACH);
    let terminal = attach && has_terminal(&bundle)?;
    let mut api = daemon.connect().await?;
    let request = CreateContainerRequest {
        id: id.clone(),
        bundle_path,
        checkpoint: flags.text(&CHECKPOINT),
        checkpoint_dir: flags.text(&CHECKPOINT_DIR),
        labels: flags.list(&LABEL),
        no_pivot_root: flags.is_on(&NO_PIVOT),
        // Always one: the daemon's default and its arguments are not for containers that ctr starts.
        runtime: flags.text(&RUNTIME),
        runtime_args: flags.list(&RUNTIME_ARGS),
        ..CreateContainerRequest::default()
    };
    let starting = Starting {
        api: &api.clone(),
        target: Target { container: id, process: INIT.to_owned() },
        attach,
        terminal,
    };
    starting
        .run(async |[stdin, stdout, stderr]| {
            api.create_container(CreateContainerRequest { stdin, stdout, stderr, ..request }).await.map(drop)
        })
        .await
}

pub(crate) async fn exec(daemon: &Daemon, run: &Run) -> Result<u8, Error> {
    let flags = &run.flags;
    let (id, pid) = (flags.text(&ID), flags.text(&NEW_PID));
    let user = User { uid: number32(flags, &UID)?, gid: number32(flags, &GID)?, additional_gids: Vec::new() };
    let mut api = daemon.connect().await?;
    let request = AddProcessRequest {
        id: id.clone(),
        pid: pid.clone(),
        terminal: flags.is_on(&TTY),
        user: Some(user),
        args: run.args.clone(),
        env: flags.list(&ENV),
        cwd: flags.text(&CWD),
        ..AddProcessRequest::default()
    };
    let starting = Starting {
        api: &api.clone(),
        target: Target { container: id, process: pid },
        attach: flags.is_on(&ATTACH),
        terminal: request.terminal,
    };
    starting
        .run(async |[stdin, stdout, stderr]| {
            api.add_process(AddProcessRequest { stdin, stdout, stderr, ..request }).await.map(drop)
        })
        .await
}

// === impl Starting ===

impl Starting<'_> {
    /// Makes the FIFOs, starts the process by `start`, which gets their paths, and stays with it if that was asked for.
    async fn run(self, start: impl AsyncFnOnce([String; 3]) -> Result<(), Status>) -> Result<u8, Error> {
        // Removed at the end, or at once for a process that is left alone.
        let directory = Directory::create()?;
        let fifos = directory.fifos()?;
        let paths = fifos.paths();
        if !self.attach {
            start(paths).await?;
            return Ok(0);
        }
        let attached = Attached::prepare(self.api, &self.target, fifos, self.terminal)?;
        match start(paths).await {
            Ok(()) => attached.wait(self.api.clone()).await,
            Err(status) => {
                attached.give_up();
                Err(status.into())
            }
        }
    }
}

/// Whether the bundle's process wants a terminal.
fn has_terminal(bundle: &Path) -> Result<bool, Error> {
    let path = bundle.join("config.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(Error::File { step: "open", path, source }),
    };
    let config: Config =
        serde_json::from_slice(&text).map_err(|problem| Error::BadConfig { path, problem })?;
    Ok(config.process.terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_says_whether_there_is_a_terminal() {
        let temp = tempfile::tempdir().unwrap();
        let missing = has_terminal(temp.path()).unwrap_err().to_string();
        let config = temp.path().join("config.json");
        assert_eq!(missing, format!("open {}: no such file or directory", config.display()));
        for (text, terminal) in [
            ("{}", false),
            (r#"{"process": {"args": []}}"#, false),
            (r#"{"process": {"terminal": true}}"#, true),
        ] {
            fs::write(&config, text).unwrap();
            assert_eq!(has_terminal(temp.path()).unwrap(), terminal, "{text}");
        }
        fs::write(&config, "{").unwrap();
        assert!(has_terminal(temp.path()).unwrap_err().to_string().starts_with(config.to_str().unwrap()));
    }
}
