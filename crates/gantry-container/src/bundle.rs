//! What the daemon needs to know of a bundle: that it can be run, and how its init process looks.

use crate::error::{Error, Result};
use gantry_record::atomic;
use gantry_record::error::errno_text;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The largest `config.json` that is read. The kernel takes 2 MB of arguments and environment, so that no process could be
/// made of more; and what is parsed takes many times its size in memory.
const MAX_CONFIG_BYTES: u64 = 4 << 20;

const NO_CONFIG: &str = "config.json is no OCI runtime configuration";

/// A bundle whose `config.json` was read.
#[derive(Clone, Debug)]
pub struct Bundle {
    path: PathBuf,
    /// The OCI process object as it stands in the file.
    process: Map<String, Value>,
    root_uid: u32,
    root_gid: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    process: Option<Map<String, Value>>,
    root: Option<Root>,
    linux: Option<Linux>,
}

#[derive(Deserialize)]
struct Root {
    path: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
    uid_mappings: Option<Vec<IdMapping>>,
    gid_mappings: Option<Vec<IdMapping>>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container_id: u32,
    #[serde(rename = "hostID")]
    host_id: u32,
    size: u32,
}

impl Bundle {
    /// Reads and checks the bundle in the folder `path`, which must be absolute.
    ///
    /// # Errors
    /// [`Error::BundleIo`] when the folder or its `config.json` cannot be read, [`Error::Bundle`] when it is
    /// not what it should be.
    pub fn open(path: &Path) -> Result<Self> {
        let bundle_io = |step, path: &Path| {
            let path = path.to_owned();
            move |source| Error::BundleIo { step, path, source }
        };
        if !path.is_absolute() {
            return Err(Error::Bundle {
                path: path.to_owned(),
                reason: "the path must be absolute".to_owned(),
            });
        }
        let file = path.join("config.json");
        // The error is the file's, as from 0.2: it looked at nothing else.
        let metadata = std::fs::metadata(path).map_err(bundle_io("open", &file))?;
        if !metadata.is_dir() {
            let reason = "it is not a directory; give the folder that holds config.json".to_owned();
            return Err(Error::Bundle { path: path.to_owned(), reason });
        }
        let json = read_config(path).map_err(|error| match error {
            gantry_record::Error::Io { step, path, source } => Error::BundleIo { step, path, source },
            other => Error::Bundle { path: path.to_owned(), reason: other.to_string() },
        })?;
        let wrong = |reason: String| Error::Bundle { path: path.to_owned(), reason };
        // What is not asked for here is passed over, and takes no memory.
        let config = serde_json::from_slice(&json).map_err(|e| match e.classify() {
            Category::Data => wrong(format!("{NO_CONFIG}: {e}")),
            Category::Syntax | Category::Eof | Category::Io => wrong(format!("config.json is no JSON: {e}")),
        })?;
        // To the deserializer a list of the values would do as well.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(wrong(format!("{NO_CONFIG}: it is no JSON object")));
        }
        Self::checked(path.to_owned(), config)
    }

    /// Checks a parsed `config.json`.
    ///
    /// # Errors
    /// [`Error::Bundle`] with what is missing.
    pub fn from_config(path: PathBuf, config: Value) -> Result<Self> {
        let wrong = |reason: String| Error::Bundle { path: path.clone(), reason };
        if !config.is_object() {
            return Err(wrong(format!("{NO_CONFIG}: it is no JSON object")));
        }
        let config = serde_json::from_value(config).map_err(|e| wrong(format!("{NO_CONFIG}: {e}")))?;
        Self::checked(path, config)
    }

    fn checked(path: PathBuf, config: Config) -> Result<Self> {
        let wrong = |reason: String| Error::Bundle { path: path.clone(), reason };
        let root = config.root.ok_or_else(|| wrong("config.json has no root.path".to_owned()))?;
        // Joining an absolute root.path yields that path itself.
        let rootfs = path.join(&root.path);
        match std::fs::metadata(&rootfs) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(wrong(format!("its rootfs {} is not a directory", rootfs.display()))),
            Err(e) => {
                return Err(wrong(format!(
                    "its rootfs {} cannot be used: {}",
                    rootfs.display(),
                    errno_text(&e)
                )));
            }
        }
        let linux = config.linux.unwrap_or_default();
        let user_namespace = linux.namespaces.iter().flatten().any(|n| n.kind == "user");
        let root_of = |mappings: Option<&Vec<IdMapping>>| {
            if user_namespace { root_host_id(mappings.map_or(&[], Vec::as_slice)) } else { 0 }
        };
        Ok(Self {
            process: config.process.unwrap_or_default(),
            root_uid: root_of(linux.uid_mappings.as_ref()),
            root_gid: root_of(linux.gid_mappings.as_ref()),
            path,
        })
    }

    /// The bundle's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The OCI process object of init.
    #[must_use]
    pub fn process(&self) -> &Map<String, Value> {
        &self.process
    }

    /// Host user and group id of the container's root.
    #[must_use]
    pub fn root_ids(&self) -> (u32, u32) {
        (self.root_uid, self.root_gid)
    }

    /// The environment of init.
    pub fn env(&self) -> impl Iterator<Item = &str> {
        self.process.get("env").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether capabilities are the flat array of runtime-spec 1.0.0-rc2 and before.
    #[must_use]
    pub fn has_flat_capabilities(&self) -> bool {
        self.process.get("capabilities").is_some_and(Value::is_array)
    }
}

fn read_config(bundle: &Path) -> gantry_record::Result<Vec<u8>> {
    atomic::read_foreign(&bundle.join("config.json"), MAX_CONFIG_BYTES)
}

/// `linux.cgroupsPath` of the bundle in a folder, if it says where its cgroups are: an absolute path. Other forms are for the
/// runtime to understand.
pub(crate) fn cgroups_path(bundle: &Path) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Config {
        linux: Linux,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Linux {
        cgroups_path: PathBuf,
    }
    let config: Config = serde_json::from_slice(&read_config(bundle).ok()?).ok()?;
    Some(config.linux.cgroups_path).filter(|path| path.is_absolute())
}

/// The host id of container id 0: from the first mapping that contains it.
fn root_host_id(mappings: &[IdMapping]) -> u32 {
    mappings.iter().find(|m| m.container_id == 0 && m.size > 0).map_or(0, |m| m.host_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cgroup_is_known_by_an_absolute_path_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (config, expected) in [
            (r#"{"linux":{"cgroupsPath":"/a/b"},"root":7}"#, Some("/a/b")),
            (r#"{"linux":{"cgroupsPath":"a/b"}}"#, None),
            (r#"{"linux":{"cgroupsPath":7}}"#, None),
            (r#"{"linux":{}}"#, None),
            ("{", None),
        ] {
            std::fs::write(folder.path().join("config.json"), config).unwrap();
            assert_eq!(cgroups_path(folder.path()), expected.map(PathBuf::from), "{config}");
        }
        assert_eq!(cgroups_path(&folder.path().join("none")), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let reason = |path: &Path| Bundle::open(path).unwrap_err().to_string();
        assert!(reason(Path::new("relative")).contains("absolute"));
        assert!(reason(&path.join("none")).contains("none/config.json: no such file"));
        assert!(reason(path).contains("config.json"));
        for (config, expected) in [
            ("", "no JSON"),
            ("[", "no JSON"),
            ("[]", "no OCI runtime"),
            ("{}", "no root.path"),
            (r#"{"root":{"path":"rootfs"}}"#, "rootfs"),
            (r#"{"root":{"path":"config.json"}}"#, "not a directory"),
        ] {
            std::fs::write(path.join("config.json"), config).unwrap();
            assert!(reason(path).contains(expected), "{config}: {}", reason(path));
        }
        assert!(reason(&path.join("config.json")).contains("not a directory"));
    }

    #[test]
    fn root_of_a_user_namespace_is_mapped() {
        let config = |namespaces: Value| {
            let mapping = |host| json!([{ "containerID": 0, "hostID": host, "size": 10 }]);
            let linux =
                json!({ "namespaces": namespaces, "uidMappings": mapping(7), "gidMappings": mapping(8) });
            Bundle::from_config("/b".into(), json!({ "root": { "path": "/" }, "linux": linux })).unwrap()
        };
        assert_eq!(config(json!([{ "type": "user" }])).root_ids(), (7, 8));
        assert_eq!(config(json!([{ "type": "pid" }])).root_ids(), (0, 0));
    }
}
