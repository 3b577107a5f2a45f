//! What `state.json` and `process.json` say.

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// `state.json`: a container as its client asked for it (0.2 specification, section 2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerRecord {
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Free text of the client.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: Vec<String>,
    /// Always empty; 0.2 writes the key.
    pub stdin: String,
    /// Always empty; 0.2 writes the key.
    pub stdout: String,
    /// Always empty; 0.2 writes the key.
    pub stderr: String,
    /// Name or path of the OCI runtime.
    pub runtime: String,
    /// Arguments that go before the runtime's subcommand.
    #[serde(deserialize_with = "null_is_default")]
    pub runtime_args: Vec<String>,
    /// Name or path of the shim; empty in records of old daemons.
    pub shim: String,
    /// Whether the runtime must not use `pivot_root` (for a rootfs on a ramdisk).
    pub no_pivot_root: bool,
}

/// `process.json`: the OCI process object with the shim's instructions as extra keys in the same object, so
/// that the runtime can be given the very file (`exec --process`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessRecord {
    /// Whether this is an exec in a running container.
    pub exec: bool,
    /// Path for standard input.
    #[serde(rename = "containerdStdin")]
    pub stdin: String,
    /// Path for standard output.
    #[serde(rename = "containerdStdout")]
    pub stdout: String,
    /// Path for standard error.
    #[serde(rename = "containerdStderr")]
    pub stderr: String,
    /// Arguments that go before the runtime's subcommand.
    #[serde(deserialize_with = "null_is_default")]
    pub runtime_args: Vec<String>,
    /// As in [`ContainerRecord`].
    pub no_pivot_root: bool,
    /// Folder of the checkpoint to restore from, or empty.
    pub checkpoint: String,
    /// Whether the runtime wants a terminal's path (`--console`, runc before 1.0-rc3) rather than a socket to send one
    /// to (`--console-socket`). Gantry's own key; shims of 0.2 pass over it.
    #[serde(rename = "gantryConsolePath", skip_serializing_if = "is_false")]
    pub console_path: bool,
    /// Whether the shim is to say when its steps happened ([`crate::ready::Times`]). Gantry's own key.
    #[serde(rename = "gantryTrace", skip_serializing_if = "is_false")]
    pub trace: bool,
    /// Host user id of the container's root.
    #[serde(rename = "rootUID")]
    pub root_uid: u32,
    /// Host group id of the container's root.
    #[serde(rename = "rootGID")]
    pub root_gid: u32,
    /// The OCI process object, keys that nobody here knows included.
    #[serde(flatten)]
    pub process: Map<String, Value>,
}

/// The keys of a [`ProcessRecord`] that are no part of the OCI process object.
const OWN_KEYS: [&str; 11] = [
    "exec",
    "containerdStdin",
    "containerdStdout",
    "containerdStderr",
    "runtimeArgs",
    "noPivotRoot",
    "checkpoint",
    "gantryConsolePath",
    "gantryTrace",
    "rootUID",
    "rootGID",
];

/// `usage`: what a container had used when its init ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Processor time in nanoseconds.
    pub cpu_nanos: Option<u64>,
    /// Peak memory in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Processes that the kernel killed for want of memory, where it counts them.
    pub oom_kills: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn to_json(record: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and maps with string keys: serialising these has no way to fail.
    let mut json = serde_json::to_vec(record).unwrap_or_default();
    json.push(b'\n');
    json
}

fn from_json<'a, T: Deserialize<'a>>(path: &Path, json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|e| Error::damaged(path, e.to_string()))
}

impl ContainerRecord {
    /// The file's content.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Reads the file's content; `path` is for the error only.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is no JSON object of this form or names no bundle.
    pub fn from_json(path: &Path, json: &[u8]) -> Result<Self> {
        let record: Self = from_json(path, json)?;
        if record.bundle.is_empty() {
            return Err(Error::damaged(path, "it names no bundle"));
        }
        Ok(record)
    }
}

impl ProcessRecord {
    /// A record of this OCI process object. What it has under the names of the shim's instructions is left out: that would
    /// stand in the file a second time, and is not the bundle's to say.
    #[must_use]
    pub fn of(mut process: Map<String, Value>) -> Self {
        process.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
        Self { process, ..Self::default() }
    }

    /// The file's content.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Reads the file's content; `path` is for the error only.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is no JSON object of this form.
    pub fn from_json(path: &Path, json: &[u8]) -> Result<Self> {
        from_json(path, json)
    }

    /// Whether the process has a terminal.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.process.get("terminal").and_then(Value::as_bool).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_0_2_9_writes() {
        let json = br#"{"bundle":"/b","labels":null,"stdin":"","stdout":"","stderr":"","runtime":"runc","runtimeArgs":null,"shim":"containerd-shim","noPivotRoot":false}"#;
        let record = ContainerRecord::from_json(Path::new("state.json"), json).unwrap();
        assert_eq!((record.bundle.as_str(), record.runtime.as_str()), ("/b", "runc"));
        assert!(record.labels.is_empty());
    }

    #[test]
    fn unknown_keys_of_the_process_survive() {
        let json = br#"{"terminal":true,"args":["sh"],"ioPriority":{"class":"x"},"exec":true,"containerdStdin":"/i","rootUID":7}"#;
        let record = ProcessRecord::from_json(Path::new("process.json"), json).unwrap();
        assert!(record.exec && record.terminal());
        assert_eq!((record.stdin.as_str(), record.root_uid), ("/i", 7));
        let again: Value = serde_json::from_slice(&record.to_json()).unwrap();
        assert_eq!(again["ioPriority"]["class"], "x");
        assert_eq!(again["containerdStdin"], "/i");
    }

    #[test]
    fn a_bundle_gives_the_shim_no_instructions() {
        let theirs = ProcessRecord {
            exec: true,
            stdout: "/etc/passwd".to_owned(),
            console_path: true,
            trace: true,
            ..ProcessRecord::default()
        };
        let mut theirs: Map<String, Value> = serde_json::from_slice(&theirs.to_json()).unwrap();
        assert!(OWN_KEYS.iter().all(|key| theirs.contains_key(*key)) && theirs.len() == OWN_KEYS.len());
        theirs.insert("terminal".to_owned(), true.into());
        let record = ProcessRecord { stdout: "/o".to_owned(), ..ProcessRecord::of(theirs) };
        let again = ProcessRecord::from_json(Path::new("process.json"), &record.to_json()).unwrap();
        assert_eq!(again, record);
        assert!(again.terminal() && !again.exec && again.stdout == "/o");
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        for json in [&b""[..], b"{", b"[]", b"{}", b"\0\0\0", br#"{"bundle":5}"#] {
            let error = ContainerRecord::from_json(Path::new("/s/state.json"), json).unwrap_err();
            assert!(error.to_string().contains("/s/state.json"), "{error}");
        }
    }
}
