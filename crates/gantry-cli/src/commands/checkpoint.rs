//! `gantry checkpoint`: the state of a running container on disk, to start another one from.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Subcommand};
use gantry_api::types::{
    Checkpoint, CreateCheckpointRequest, DeleteCheckpointRequest, ListCheckpointRequest,
};

use super::format::Format;
use crate::bundle::text;
use crate::client::{CALL_TIMEOUT, Client, Settings, timed};
use crate::error::Error;
use crate::{output, table};

const HELP: &str = "\
CRIU writes the memory and the state of all processes, the OCI runtime drives it: both must be able to (runc with \
`criu` installed is). Checkpoints are kept in the bundle's `checkpoints` unless --checkpoint-dir names another \
directory; `gantry rm` of a container without a --bundle of yours removes those in its bundle.

Examples:
  gantry run -d --runtime runc --name one --bundle /srv/job
  gantry checkpoint create one saved               it runs on
  gantry checkpoint create one saved-2 --exit      it ends
  gantry checkpoint ls one
  gantry run -d --runtime runc --name two --bundle /srv/job --checkpoint saved-2";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the state of a running container
    Create(CreateArgs),
    /// List the checkpoints of a running container
    Ls(ListArgs),
    /// Remove a checkpoint
    Rm(RemoveArgs),
}

/// Which container, and where its checkpoints are.
#[derive(Debug, clap::Args)]
struct Place {
    /// Where checkpoints are kept; `checkpoints` in the bundle if not given
    #[arg(long, value_name = "DIR")]
    checkpoint_dir: Option<PathBuf>,

    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// End the container once the checkpoint is written
    #[arg(long)]
    exit: bool,

    /// Keep open TCP connections
    #[arg(long)]
    tcp: bool,

    /// Keep Unix sockets to processes outside
    #[arg(long)]
    unix_sockets: bool,

    /// The container has a terminal
    #[arg(long)]
    shell_job: bool,

    /// A namespace that is empty in the restored container (network)
    #[arg(long, value_name = "NAMESPACE", action = ArgAction::Append)]
    empty_ns: Vec<String>,

    #[command(flatten)]
    place: Place,

    /// The checkpoint's name
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    place: Place,

    /// The checkpoint's name
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
}

/// A name is a folder's.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a checkpoint needs a name".to_owned()),
        "." | ".." => Err("that is a directory".to_owned()),
        _ if text.contains('/') => Err("a name has no slash; --checkpoint-dir says where it is".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A directory as the daemon takes it, whose working directory is another.
pub(super) fn absolute(dir: Option<&Path>) -> Result<String, Error> {
    let Some(dir) = dir else { return Ok(String::new()) };
    let dir = std::path::absolute(dir).map_err(|error| Error::file("find", dir, error))?;
    text(&dir)
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let client = Client::connect(settings).await?;
    match &args.action {
        Action::Create(args) => create(&client, args).await?,
        Action::Ls(args) => list(&client, args).await?,
        Action::Rm(args) => remove(&client, args).await?,
    }
    Ok(0)
}

async fn create(client: &Client, args: &CreateArgs) -> Result<(), Error> {
    let id = &args.place.container;
    let request = CreateCheckpointRequest {
        id: id.clone(),
        checkpoint: Some(Checkpoint {
            name: args.name.clone(),
            exit: args.exit,
            tcp: args.tcp,
            unix_sockets: args.unix_sockets,
            shell: args.shell_job,
            empty_ns: args.empty_ns.clone(),
        }),
        checkpoint_dir: absolute(args.place.checkpoint_dir.as_deref())?,
    };
    // No deadline of ours: it takes as long as the memory is large, and the daemon has one.
    match client.api().create_checkpoint(request).await {
        Ok(_) => output::line(&args.name),
        Err(status) => Err(Error::refused(format!("write a checkpoint of {id}"), status)),
    }
}

async fn list(client: &Client, args: &ListArgs) -> Result<(), Error> {
    let Place { checkpoint_dir, container } = &args.place;
    let request =
        ListCheckpointRequest { id: container.clone(), checkpoint_dir: absolute(checkpoint_dir.as_deref())? };
    let failed = |status| Error::refused(format!("list the checkpoints of {container}"), status);
    let answer = client.api().list_checkpoint(timed(request, CALL_TIMEOUT)).await;
    let checkpoints = answer.map_err(failed)?.into_inner().checkpoints;
    if args.format == Format::Json {
        return output::json(&checkpoints);
    }
    let yes = |flag: bool| if flag { "kept" } else { "-" }.to_owned();
    let row = |checkpoint: &Checkpoint| {
        [checkpoint.name.clone(), yes(checkpoint.tcp), yes(checkpoint.unix_sockets), yes(checkpoint.shell)]
    };
    let rows: Vec<[String; 4]> = checkpoints.iter().map(row).collect();
    output::text(&table::render(["NAME", "TCP", "UNIX SOCKETS", "TERMINAL"], &rows))
}

async fn remove(client: &Client, args: &RemoveArgs) -> Result<(), Error> {
    let Place { checkpoint_dir, container } = &args.place;
    let request = DeleteCheckpointRequest {
        id: container.clone(),
        name: args.name.clone(),
        checkpoint_dir: absolute(checkpoint_dir.as_deref())?,
    };
    match client.api().delete_checkpoint(timed(request, CALL_TIMEOUT)).await {
        Ok(_) => output::line(&args.name),
        Err(status) => Err(Error::refused(format!("remove the checkpoint {}", args.name), status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_folders() {
        assert!(parse_name("before upgrade").is_ok());
        for name in ["", ".", "..", "a/b"] {
            assert!(parse_name(name).is_err(), "{name}");
        }
    }
}
