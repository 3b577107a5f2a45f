//! Starting from a checkpoint: what its `config.json` says becomes the runtime's flags.

use crate::error::{Error, Result};
use crate::runtime::Driver;
use gantry_oci::{Create, Restore};
use gantry_record::{atomic, timestamp};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// The part of a checkpoint's description that matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Checkpoint {
    tcp: bool,
    unix_sockets: bool,
    shell: bool,
    #[serde(rename = "emptyNS")]
    empty_namespaces: Option<Vec<String>>,
}

/// The command that restores the checkpoint in folder `path`.
pub(super) fn command(driver: &Driver, create: Create<'_>, path: &Path) -> Result<Command> {
    let description = path.join("config.json");
    let checkpoint: Checkpoint = serde_json::from_slice(&atomic::read(&description)?)
        .map_err(|source| Error::Checkpoint { path: description, source })?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let work_path = path.join("criu.work").join(format!("restore-{}", timestamp::format(now).escape_ascii()));
    let flags = checkpoint.flags();
    let how = Restore { create, image_path: path, work_path: &work_path, flags: &flags };
    Ok(driver.runtime().restore(driver.id(), &how))
}

impl Checkpoint {
    fn flags(&self) -> Vec<String> {
        let switches = [
            (self.shell, "--shell-job"),
            (self.tcp, "--tcp-established"),
            (self.unix_sockets, "--ext-unix-sk"),
        ];
        let mut flags: Vec<String> =
            switches.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()).collect();
        for namespace in self.empty_namespaces.iter().flatten() {
            flags.extend(["--empty-ns".to_owned(), namespace.clone()]);
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_in_the_order_of_the_specification() {
        let json = br#"{"name":"x","tcp":true,"unixSockets":true,"shell":true,"emptyNS":["network"]}"#;
        let checkpoint: Checkpoint = serde_json::from_slice(json).unwrap();
        let expected = ["--shell-job", "--tcp-established", "--ext-unix-sk", "--empty-ns", "network"];
        assert_eq!(checkpoint.flags(), expected);
        let checkpoint: Checkpoint = serde_json::from_slice(br#"{"emptyNS":null}"#).unwrap();
        assert!(checkpoint.flags().is_empty());
    }
}
