//! `gantry run`: make a bundle, start a container from it, and stay with it until it ends.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ArgAction;
use gantry_api::types::CreateContainerRequest;

use super::checkpoint;
use super::limits::LimitArgs;
use super::process::{ProcessArgs, StdioArgs, conclude};
use super::rm;
use crate::attach::{Attached, Ending, Stdio, Target, terminal};
use crate::bundle::meta::{Exit, Logs, Meta};
use crate::bundle::{ContainerDir, create_private, demo, given, spec, text};
use crate::client::{Client, Recorded, Settings};
use crate::error::Error;
use crate::id::{INIT, Id};
use crate::logs::options::LogArgs;
use crate::{output, when};

const HELP: &str = "\
The root filesystem is --rootfs DIR (used as it is, changes stay), a whole OCI bundle with --bundle DIR, or, without \
either, a small demo root made for this container. The network has nothing but `lo` for now.

The exit status is that of the command: 127 if it was not found, 126 if it cannot be executed, 128+N if signal N \
ended it; 125 if gantry or its daemon failed. Ctrl-C and other signals go to the command; three Ctrl-C in a row \
leave it running.

Examples:
  gantry run --rm echo hello               the demo root; nothing is left behind
  gantry run --rm -it                      a shell; Ctrl-D ends it
  gantry run --rm --rootfs /srv/alpine ls  a root filesystem of yours
  gantry run --rm --bundle /srv/bundle     a bundle, as `runc run` would run it
  gantry run --rm --runtime crun echo hi   with another OCI runtime
  echo data | gantry run --rm -i wc -c     input through a pipe
  gantry run -d --name web httpd -f        in the background; see `gantry logs web`";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Remove what is left of the container when it has ended
    #[arg(long)]
    pub(crate) rm: bool,

    /// Run it in the background and print its id; its output is kept for `gantry logs`
    #[arg(short = 'd', long, conflicts_with_all = ["rm", "interactive"])]
    pub(crate) detach: bool,

    #[command(flatten)]
    pub(crate) log: LogArgs,

    #[command(flatten)]
    pub(crate) stdio: StdioArgs,

    /// The container's id; random if not given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Id>,

    /// Use this directory as the root filesystem
    #[arg(long, value_name = "DIR", conflicts_with = "bundle")]
    pub(crate) rootfs: Option<PathBuf>,

    /// Use this OCI bundle as it is; its config.json says what runs
    #[arg(long, value_name = "DIR", conflicts_with_all = ["env", "user", "directory", "memory", "cpus", "pids"])]
    pub(crate) bundle: Option<PathBuf>,

    /// Start from a checkpoint (`gantry checkpoint`)
    #[arg(long, value_name = "NAME", requires = "bundle", value_parser = checkpoint::parse_name)]
    pub(crate) checkpoint: Option<String>,

    /// Where checkpoints are kept; `checkpoints` in the bundle if not given
    #[arg(long, value_name = "DIR", requires = "checkpoint")]
    pub(crate) checkpoint_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) process: ProcessArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// The OCI runtime, by name or path; the daemon's default if not given
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) runtime: Option<String>,

    /// An argument for the runtime, before its subcommand; needs --runtime
    #[arg(long = "runtime-arg", value_name = "ARG", action = ArgAction::Append, allow_hyphen_values = true)]
    pub(crate) runtime_args: Vec<String>,

    /// A label that the daemon keeps with the container
    #[arg(long = "label", value_name = "LABEL", action = ArgAction::Append)]
    pub(crate) labels: Vec<String>,

    /// The command and its arguments, passed on untouched; the demo root says hello, or starts a shell with -i or -t
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}

/// A bundle that is ready to run.
struct Prepared {
    bundle: PathBuf,
    rootfs: Option<String>,
    command: Vec<String>,
}

pub(crate) async fn execute(settings: &Settings, args: Args) -> Result<u8, Error> {
    args.check()?;
    let stdio = Stdio::from(args.stdio);
    stdio.check()?;
    // First of all: without a daemon, nothing is made.
    let client = Client::connect(settings).await?;
    let id = match &args.name {
        Some(name) => name.clone(),
        None => Id::random()?,
    };
    let dir = ContainerDir::create(&settings.bundles, &id)?;
    let result = start(&client, &args, &id, &dir, stdio).await;
    match &result {
        Ok(Ended::Exited(_)) if args.rm => remove(&client, &id, &dir).await?,
        // The first process of a PID namespace does not die of HUP by itself, as it would outside.
        Ok(Ended::Left(Ending::TerminalGone)) if args.rm => {
            rm::end(&client, id.as_str()).await?;
            remove(&client, &id, &dir).await?;
        }
        // A failed start leaves nothing, unless the container may be running.
        Err(error) if !error.is_uncertain() => {
            let _ = dir.remove();
        }
        _ => {}
    }
    match result? {
        Ended::Exited(ending) | Ended::Left(ending) => conclude(ending, id.as_str(), INIT),
        Ended::Detached => output::line(id.as_str()).map(|()| 0),
    }
}

/// Removes what is left of a container that has ended.
async fn remove(client: &Client, id: &Id, dir: &ContainerDir) -> Result<(), Error> {
    let forgotten = client.forget(id.as_str()).await;
    dir.remove()?;
    forgotten
}

enum Ended {
    Exited(Ending),
    Left(Ending),
    Detached,
}

async fn start(
    client: &Client,
    args: &Args,
    id: &Id,
    dir: &ContainerDir,
    stdio: Stdio,
) -> Result<Ended, Error> {
    let prepared = args.prepare(id, dir)?;
    let logs = if args.detach { Some(Output::choose(client, args, id, dir).await?) } else { None };
    let mut meta = Meta {
        id: id.to_string(),
        created: when::rfc3339(time::OffsetDateTime::now_utc()),
        command: prepared.command.clone(),
        bundle: prepared.bundle.clone(),
        rootfs: prepared.rootfs.clone(),
        detached: args.detach,
        terminal: args.stdio.terminal,
        logs: logs.as_ref().map(|output| output.logs.clone()),
        exit: None,
    };
    dir.write_meta(&meta)?;

    if let Some(Output { stdout, stderr, .. }) = logs {
        let paths = [String::new(), stdout, if stdio.terminal { String::new() } else { stderr }];
        args.create(client, id, &prepared, paths).await?;
        return Ok(Ended::Detached);
    }

    let target = Target { container: id.to_string(), process: INIT.to_owned() };
    let attached = Attached::prepare(client, target, dir.path(), stdio)?;
    let paths = attached.paths();
    let ending = attached.run(args.create(client, id, &prepared, paths)).await?;
    let Ending::Exited(exit) = ending else { return Ok(Ended::Left(ending)) };
    if !args.rm {
        let at = exit.at.unwrap_or_else(time::OffsetDateTime::now_utc);
        meta.exit = Some(Exit { status: exit.status, at: when::rfc3339(at) });
        dir.write_meta(&meta)?;
    }
    Ok(Ended::Exited(ending))
}

/// Where the output of a container in the background goes.
struct Output {
    logs: Logs,
    /// As the daemon takes them.
    stdout: String,
    stderr: String,
}

impl Output {
    async fn choose(client: &Client, args: &Args, id: &Id, dir: &ContainerDir) -> Result<Self, Error> {
        // A daemon that keeps no records is containerd, whose shim knows plain files only.
        if matches!(client.ended(id.as_str()).await?, Recorded::Unsupported) {
            let file = |name: &str| dir.path().join(name);
            let (stdout, stderr) = (file("stdout.log"), file("stderr.log"));
            let paths = (log_file(&stdout)?, log_file(&stderr)?);
            return Ok(Self { logs: Logs::Plain { stdout, stderr }, stdout: paths.0, stderr: paths.1 });
        }
        let path = dir.path().join("output.log");
        let target = args.log.target(&path);
        Ok(Self { logs: Logs::Records { path }, stdout: target.clone(), stderr: target })
    }
}

// === impl Args ===

impl Args {
    /// What clap cannot say, or not as clearly.
    fn check(&self) -> Result<(), Error> {
        if self.bundle.is_some() && !(self.command.is_empty() && self.process.is_empty()) {
            return Err(Error::usage(
                "--bundle runs what its config.json says, so it takes no command",
                "change process.args in config.json, or use --rootfs DIR with a command",
            ));
        }
        if self.rootfs.is_some() && self.command.is_empty() {
            return Err(Error::usage(
                "--rootfs needs a command to run",
                "for instance `gantry run -it --rootfs DIR sh`",
            ));
        }
        if self.runtime.is_none() && !self.runtime_args.is_empty() {
            return Err(Error::usage(
                "--runtime-arg needs --runtime",
                "the daemon's default runtime has the daemon's arguments",
            ));
        }
        Ok(())
    }

    /// Makes the bundle, or looks at the user's.
    fn prepare(&self, id: &Id, dir: &ContainerDir) -> Result<Prepared, Error> {
        if let Some(bundle) = &self.bundle {
            let given = given::check(bundle, self.stdio.terminal)?;
            if let Some(name) = &self.checkpoint {
                given.check_checkpoint(self.checkpoint_dir.as_deref(), name)?;
            }
            return Ok(Prepared { bundle: given.path, rootfs: None, command: given.command });
        }
        let (rootfs, described, command) = match &self.rootfs {
            Some(rootfs) => {
                let rootfs = real_directory(rootfs)?;
                let described = rootfs.display().to_string();
                (rootfs, described, self.command.clone())
            }
            None => {
                let source = demo::Source::find()?;
                let command = if self.command.is_empty() {
                    source.default_command(self.stdio.interactive || self.stdio.terminal)?
                } else {
                    self.command.clone()
                };
                source.build(&dir.path().join("rootfs"))?;
                (PathBuf::from("rootfs"), "demo".to_owned(), command)
            }
        };
        let mut config = spec::config(&spec::Options {
            id: id.as_str(),
            rootfs: &rootfs,
            args: &command,
            env: &self.process.environment(vec![spec::DEFAULT_PATH.to_owned()], self.stdio.terminal),
            cwd: self.process.directory.as_deref().unwrap_or("/"),
            user: self.process.user.unwrap_or_default(),
            terminal: self.stdio.terminal,
            size: terminal::size(),
        });
        self.limits.apply(&mut config["linux"]["resources"]);
        let path = dir.path().join("config.json");
        create_private(&path, config.to_string().as_bytes())?;
        Ok(Prepared { bundle: dir.path().to_owned(), rootfs: Some(described), command })
    }

    async fn create(
        &self,
        client: &Client,
        id: &Id,
        prepared: &Prepared,
        [stdin, stdout, stderr]: [String; 3],
    ) -> Result<(), Error> {
        let request = CreateContainerRequest {
            id: id.to_string(),
            bundle_path: text(&prepared.bundle)?,
            stdin,
            stdout,
            stderr,
            labels: self.labels.clone(),
            runtime: self.runtime.clone().unwrap_or_default(),
            runtime_args: self.runtime_args.clone(),
            checkpoint: self.checkpoint.clone().unwrap_or_default(),
            checkpoint_dir: checkpoint::absolute(self.checkpoint_dir.as_deref())?,
            ..CreateContainerRequest::default()
        };
        // No deadline of ours: the daemon has one (--start-timeout), and Ctrl-C leaves.
        match client.api().create_container(request).await {
            Ok(_) => Ok(()),
            Err(status) => Err(Error::Start {
                step: format!("run {id}"),
                command: prepared.command.first().cloned().unwrap_or_default(),
                status: Box::new(status),
            }),
        }
    }
}

fn real_directory(path: &Path) -> Result<PathBuf, Error> {
    let real = fs::canonicalize(path).map_err(|error| Error::file("use the root filesystem", path, error))?;
    if real.is_dir() {
        return Ok(real);
    }
    let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
    Err(Error::file("use the root filesystem", path, error))
}

/// Makes an empty file; its path as the daemon takes it.
fn log_file(path: &Path) -> Result<String, Error> {
    create_private(path, b"")?;
    text(path)
}
