//! `ctr checkpoints`.

use gantry_api::types::{
    Checkpoint, CreateCheckpointRequest, DeleteCheckpointRequest, ListCheckpointRequest,
};

use super::calls::Daemon;
use super::command::{CHECKPOINT_DIR, EMPTY_NS, EXIT, SHELL, TCP, UNIX_SOCKETS};
use super::containers::CONTAINER_ID;
use super::error::Error;
use super::line::Run;
use super::print;
use super::table::LIST;

/// What a missing id is called here, as scripts may know it.
const CONTAINER_ID_AT: &str = "container id at";
const CHECKPOINT_NAME: &str = "checkpoint name";

pub(crate) async fn list(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let request = ListCheckpointRequest {
        id: run.required(0, CONTAINER_ID)?,
        checkpoint_dir: run.flags.text(&CHECKPOINT_DIR),
    };
    let checkpoints = daemon.connect().await?.list_checkpoint(request).await?.into_inner().checkpoints;
    let mut rows = vec![["NAME", "TCP", "UNIX SOCKETS", "SHELL"].map(str::to_owned)];
    rows.extend(checkpoints.into_iter().map(|Checkpoint { name, tcp, unix_sockets, shell, .. }| {
        [name, tcp.to_string(), unix_sockets.to_string(), shell.to_string()]
    }));
    print(&LIST.render(&rows))
}

pub(crate) async fn create(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let flags = &run.flags;
    let id = run.required(0, CONTAINER_ID_AT)?;
    let checkpoint = Checkpoint {
        name: run.required(1, CHECKPOINT_NAME)?,
        exit: flags.is_on(&EXIT),
        tcp: flags.is_on(&TCP),
        unix_sockets: flags.is_on(&UNIX_SOCKETS),
        shell: flags.is_on(&SHELL),
        empty_ns: flags.list(&EMPTY_NS),
    };
    let checkpoint_dir = flags.text(&CHECKPOINT_DIR);
    let request = CreateCheckpointRequest { id, checkpoint: Some(checkpoint), checkpoint_dir };
    daemon.connect().await?.create_checkpoint(request).await?;
    Ok(())
}

pub(crate) async fn delete(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let id = run.required(0, CONTAINER_ID_AT)?;
    let name = run.required(1, CHECKPOINT_NAME)?;
    let checkpoint_dir = run.flags.text(&CHECKPOINT_DIR);
    daemon.connect().await?.delete_checkpoint(DeleteCheckpointRequest { id, name, checkpoint_dir }).await?;
    Ok(())
}
