//! `state`: the OCI state of a container, with runc's additions.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::commands::print_json;
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::id::ContainerId;
use crate::store::{Container, Status, Store};

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State<'a> {
    oci_version: &'a str,
    pub(crate) id: &'a str,
    /// Zero once the process has ended, as with runc.
    pub(crate) pid: i32,
    pub(crate) status: Status,
    pub(crate) bundle: &'a Path,
    rootfs: &'a Path,
    pub(crate) created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    pub(crate) owner: &'a str,
}

impl<'a> State<'a> {
    /// The state of a container now.
    pub(crate) fn of(container: &'a Container) -> Result<Self> {
        let (record, status) = (&container.record, container.status()?);
        Ok(Self {
            oci_version: &record.oci_version,
            id: &record.id,
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status,
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: &record.created,
            annotations: &record.annotations,
            owner: &record.owner,
        })
    }
}

/// Runs the command.
pub(crate) fn run(store: &Store, id: &ContainerId) -> Result<ExitCode> {
    let container = store.load(id)?;
    print_json(&State::of(&container)?)
}
