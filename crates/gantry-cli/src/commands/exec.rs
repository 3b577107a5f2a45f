//! `gantry exec`: one more process in a running container.

use std::path::{Path, PathBuf};

use gantry_api::types::{AddProcessRequest, Container, Process, User};

use super::process::{ProcessArgs, StdioArgs, conclude};
use crate::attach::{Attached, Ending, Stdio, Target};
use crate::bundle::{ContainerDir, spec};
use crate::client::{Client, Settings, init_of};
use crate::error::Error;
use crate::id::{INIT, Id};

const HELP: &str = "\
The process gets the environment, the directory, the capabilities and the limits of the container's first process, \
unless options say otherwise; a user other than 0 gets no capabilities. The exit status is that of the command, as \
with `gantry run`.

Examples:
  gantry exec web ps                        a command in the container `web`
  gantry exec -it web sh                    a shell in it
  gantry exec -e DEBUG=1 -w /srv web ./run  with a variable, in a directory
  tar c . | gantry exec -i web tar x        input through a pipe";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) stdio: StdioArgs,

    #[command(flatten)]
    pub(crate) process: ProcessArgs,

    /// The id of the new process; random if not given
    #[arg(long, value_name = "EXECID")]
    pub(crate) id: Option<Id>,

    /// The container
    #[arg(value_name = "ID")]
    pub(crate) container: String,

    /// The command and its arguments, passed on untouched
    #[arg(value_name = "CMD", trailing_var_arg = true, required = true)]
    pub(crate) command: Vec<String>,
}

pub(crate) async fn execute(settings: &Settings, args: Args) -> Result<u8, Error> {
    let stdio = Stdio::from(args.stdio);
    stdio.check()?;
    let id = match &args.id {
        Some(id) if id.as_str() == INIT => {
            return Err(Error::usage(
                "`init` is the container's first process",
                "choose another --id, or leave it out",
            ));
        }
        Some(id) => id.clone(),
        None => Id::random()?,
    };
    let client = Client::connect(settings).await?;
    let container =
        client.container(&args.container).await?.ok_or_else(|| Error::no_such_container(&args.container))?;
    let init = init_of(&container).ok_or_else(|| {
        Error::impossible(
            format!("cannot exec in {}: its first process does not run", container.id),
            "`gantry ps` shows its status",
        )
    })?;

    let place = Place::choose(settings, &container)?;
    let target = Target { container: container.id.clone(), process: id.to_string() };
    let attached = Attached::prepare(&client, target, place.path(), stdio)?;
    let request = args.request(&id, init, attached.paths());
    let ending = attached.run(args.add(&client, request)).await?;
    if matches!(ending, Ending::Exited(_)) {
        place.remove();
    }
    conclude(ending, &container.id, id.as_str())
}

// === impl Args ===

impl Args {
    fn request(&self, id: &Id, init: &Process, [stdin, stdout, stderr]: [String; 3]) -> AddProcessRequest {
        let user = match self.process.user {
            Some(spec::User { uid, gid }) => User { uid, gid, additional_gids: Vec::new() },
            None => init.user.clone().unwrap_or_default(),
        };
        // Whoever is not root gets none: the daemon would make them effective.
        let capabilities = if user.uid == 0 { init.capabilities.clone() } else { Vec::new() };
        let env = if init.env.is_empty() { vec![spec::DEFAULT_PATH.to_owned()] } else { init.env.clone() };
        let cwd = self.process.directory.clone().unwrap_or_else(|| init.cwd.clone());
        AddProcessRequest {
            id: self.container.clone(),
            pid: id.to_string(),
            terminal: self.stdio.terminal,
            user: Some(user),
            args: self.command.clone(),
            env: self.process.environment(env, self.stdio.terminal),
            cwd: if cwd.is_empty() { "/".to_owned() } else { cwd },
            stdin,
            stdout,
            stderr,
            capabilities,
            apparmor_profile: init.apparmor_profile.clone(),
            selinux_label: init.selinux_label.clone(),
            no_new_privileges: init.no_new_privileges,
            rlimits: init.rlimits.clone(),
        }
    }

    async fn add(&self, client: &Client, request: AddProcessRequest) -> Result<(), Error> {
        match client.api().add_process(request).await {
            Ok(_) => Ok(()),
            Err(status) => Err(Error::Start {
                step: format!("exec in {}", self.container),
                command: self.command.first().cloned().unwrap_or_default(),
                status: Box::new(status),
            }),
        }
    }
}

/// Where the FIFOs are made: in the container's directory, or in one of our own if the container is somebody else's.
enum Place {
    Container(ContainerDir),
    Temporary(TemporaryDir),
}

/// Removed when dropped, which is also the case when something fails.
struct TemporaryDir(PathBuf);

// === impl Place ===

impl Place {
    fn choose(settings: &Settings, container: &Container) -> Result<Self, Error> {
        if let Some(dir) = ContainerDir::open(&settings.bundles, &container.id) {
            return Ok(Self::Container(dir));
        }
        let path = std::env::temp_dir().join(format!("gantry-exec-{}", Id::random()?));
        std::fs::create_dir(&path).map_err(|error| Error::file("make", &path, error))?;
        Ok(Self::Temporary(TemporaryDir(path)))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Container(dir) => dir.path(),
            Self::Temporary(TemporaryDir(path)) => path,
        }
    }

    fn remove(self) {}
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
