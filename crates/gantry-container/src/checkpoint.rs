//! Checkpoints: a folder with CRIU's images and `config.json`, in the bundle's `checkpoints` unless the client
//! names another place (0.2 specification, section 3.6).

use crate::container::Container;
use crate::error::{Error, Result};
use crate::runtime;
use gantry_oci::Checkpoint as Command;
use gantry_record::atomic;
use gantry_record::layout::{FILE_MODE, FOLDER_MODE, folders, remove_folder};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that CRIU may take: it writes all of the container's memory.
const LIMIT: Duration = Duration::from_secs(30 * 60);

const CONFIG: &str = "config.json";

/// A checkpoint as its client asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Checkpoint {
    /// When, RFC 3339; empty in answers.
    pub created: String,
    /// The folder's name.
    pub name: String,
    /// Keep established TCP connections.
    pub tcp: bool,
    /// Keep connected Unix sockets.
    pub unix_sockets: bool,
    /// It belongs to a terminal's session.
    pub shell: bool,
    /// The container ends with it.
    pub exit: bool,
    /// Namespaces that are made anew on restore, such as `network`.
    #[serde(rename = "emptyNS", skip_serializing_if = "Vec::is_empty")]
    pub empty_namespaces: Vec<String>,
}

impl Checkpoint {
    /// The flags that both `checkpoint` and `restore` take.
    fn flags(&self) -> Vec<String> {
        let switches = [
            (self.shell, "--shell-job"),
            (self.tcp, "--tcp-established"),
            (self.unix_sockets, "--ext-unix-sk"),
        ];
        let mut flags: Vec<String> =
            switches.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()).collect();
        for namespace in &self.empty_namespaces {
            flags.extend(["--empty-ns".to_owned(), namespace.clone()]);
        }
        flags
    }
}

/// Where a checkpoint is, or is to be.
///
/// # Errors
/// [`Error::Invalid`] for a name that would leave the folder.
pub fn folder(bundle: &Path, checkpoints: &str, name: &str) -> Result<PathBuf> {
    if name.is_empty() {
        return Err(Error::Invalid("checkpoint name cannot be empty".to_owned()));
    }
    if name == "." || name == ".." || name.len() > 255 || name.contains(['/', '\0']) {
        return Err(Error::Invalid(format!("checkpoint name {name:?} is no name of a folder")));
    }
    Ok(root(bundle, checkpoints).join(name))
}

fn root(bundle: &Path, checkpoints: &str) -> PathBuf {
    if checkpoints.is_empty() { bundle.join("checkpoints") } else { checkpoints.into() }
}

/// The checkpoints below a folder, sorted by name.
///
/// # Errors
/// [`Error::Record`] when the folder, or a checkpoint's `config.json`, cannot be read.
pub fn list(bundle: &Path, checkpoints: &str) -> Result<Vec<Checkpoint>> {
    let mut found = Vec::new();
    for (name, path) in folders(&root(bundle, checkpoints))? {
        let path = path.join(CONFIG);
        let checkpoint: Checkpoint = serde_json::from_slice(&atomic::read(&path)?)
            .map_err(|e| gantry_record::Error::damaged(&path, e.to_string()))?;
        found.push(Checkpoint { name, ..checkpoint });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes a checkpoint; one that is not there is fine.
///
/// # Errors
/// As [`folder`], or [`Error::Record`] when something cannot be removed.
pub fn delete(bundle: &Path, checkpoints: &str, name: &str) -> Result<()> {
    Ok(remove_folder(&folder(bundle, checkpoints, name)?)?)
}

impl Container {
    /// Writes a checkpoint; on failure nothing of it remains.
    ///
    /// # Errors
    /// [`Error::Record`] with kind `AlreadyExists` when the name is in use, or the runtime's words.
    pub async fn checkpoint(&self, checkpoints: &str, checkpoint: &Checkpoint) -> Result<()> {
        let folder = folder(self.record().bundle.as_ref(), checkpoints, &checkpoint.name)?;
        if let Some(root) = folder.parent() {
            std::fs::create_dir_all(root).map_err(|e| gantry_record::Error::io("mkdir", root, e))?;
        }
        rustix::fs::mkdir(&folder, FOLDER_MODE).map_err(|e| gantry_record::Error::io("mkdir", &folder, e))?;
        let written = self.write_checkpoint(&folder, checkpoint).await;
        if written.is_err() {
            // The reason for the failure matters more than what may be left of the folder.
            let _ = remove_folder(&folder);
        }
        written
    }

    async fn write_checkpoint(&self, folder: &Path, checkpoint: &Checkpoint) -> Result<()> {
        let path = folder.join(CONFIG);
        let json = serde_json::to_vec(checkpoint)
            .map_err(|e| gantry_record::Error::damaged(&path, e.to_string()))?;
        atomic::write(&path, &json, FILE_MODE)?;
        let mut flags = checkpoint.flags();
        if !checkpoint.exit {
            flags.insert(0, "--leave-running".to_owned());
        }
        let work = folder.join("criu.work");
        let command = self
            .runtime()
            .checkpoint(self.id(), &Command { image_path: folder, work_path: &work, flags: &flags });
        runtime::run(self.runtime(), None, "checkpoint", self.id(), command, None, LIMIT).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        let path = |dir, name| folder(Path::new("/b"), dir, name).map(|p| p.display().to_string());
        assert_eq!(path("", "one").unwrap(), "/b/checkpoints/one");
        assert_eq!(path("/c", "one").unwrap(), "/c/one");
        for name in ["", ".", "..", "a/b", "a\0b"] {
            assert!(path("", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn lists_what_is_there_and_fails_on_a_stranger() {
        let bundle = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            let folder = bundle.path().join("checkpoints").join(text);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        assert!(list(bundle.path(), "").is_err());
        std::fs::write(of("a").join(CONFIG), br#"{"name":"a","emptyNS":["network"]}"#).unwrap();
        std::fs::write(of("b").join(CONFIG), br#"{"name":"b","tcp":true}"#).unwrap();
        let found = list(bundle.path(), "").unwrap();
        assert_eq!(
            found.iter().map(|c| (c.name.as_str(), c.tcp)).collect::<Vec<_>>(),
            [("a", false), ("b", true)]
        );
        assert_eq!(found[0].flags(), ["--empty-ns", "network"]);
        of("c");
        assert!(list(bundle.path(), "").is_err());
        delete(bundle.path(), "", "c").unwrap();
        delete(bundle.path(), "", "never-was").unwrap();
        assert_eq!(list(bundle.path(), "").unwrap().len(), 2);
    }
}
