//! What the daemon is called, and the defaults that follow from it.
//!
//! Called `gantryd` it has places of its own and the built-in runtime; called `containerd` (or
//! `docker-containerd`) it has those of containerd 0.2, so that it can take that program's place.

use std::path::{Path, PathBuf};

/// The version of 0.2 whose behaviour is served under its name.
const COMPATIBLE: &str = "0.2.9";

/// A name and its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The program's name.
    pub program: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Default of `--state-dir`.
    pub state_dir: &'static str,
    /// Default of `--listen`.
    pub listen: &'static str,
    /// Default of `--log-format`.
    pub log_format: &'static str,
    /// The configuration file that is read without being asked for, if it is there.
    pub config: Option<&'static str>,
    /// Default of `--runtime`.
    pub runtime: String,
    /// Default of `--shim`.
    pub shim: String,
}

impl Names {
    /// The name under which this program was executed.
    pub(crate) fn of_this_program() -> Self {
        let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let folder = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        Self::of(&name, folder.as_deref())
    }

    /// Whether the program takes containerd's place.
    pub(crate) fn is_containerd(&self) -> bool {
        self.program == "containerd"
    }

    pub(crate) fn of(executed_as: &Path, folder: Option<&Path>) -> Self {
        let name = executed_as.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == "containerd" || name == "docker-containerd" {
            return Self {
                program: "containerd",
                version: COMPATIBLE,
                state_dir: "/run/containerd",
                listen: "unix:///run/containerd/containerd.sock",
                log_format: "logfmt",
                // 0.2 had none, and read no environment either.
                config: None,
                runtime: "runc".to_owned(),
                shim: "containerd-shim".to_owned(),
            };
        }
        Self {
            program: "gantryd",
            version: env!("CARGO_PKG_VERSION"),
            state_dir: "/run/gantry/state",
            listen: "unix:///run/gantry/gantryd.sock",
            log_format: "text",
            config: Some("/etc/gantry/gantryd.toml"),
            runtime: beside(folder, "gantry-runtime"),
            shim: beside(folder, "gantry-shim"),
        }
    }

    /// What `--version` prints after the name.
    pub(crate) fn version_text(&self) -> String {
        match self.commit() {
            "" => format!("version {}", self.version),
            commit => format!("version {} commit: {commit}", self.version),
        }
    }

    /// The commit that this was built from, if the build said so.
    #[allow(clippy::unused_self, reason = "it belongs to the version")]
    pub(crate) fn commit(&self) -> &'static str {
        option_env!("GANTRY_COMMIT").unwrap_or_default()
    }
}

/// The program that was installed together with this one, else whatever `PATH` finds.
fn beside(folder: Option<&Path>, name: &str) -> String {
    let path = folder.map(|folder| folder.join(name)).filter(|path| path.is_file());
    path.map_or_else(|| name.to_owned(), |path| path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_the_defaults() {
        let gantryd = Names::of(Path::new("/usr/bin/gantryd"), None);
        assert_eq!((gantryd.program, gantryd.runtime.as_str()), ("gantryd", "gantry-runtime"));
        let old = Names::of(Path::new("docker-containerd"), None);
        assert_eq!((old.state_dir, old.shim.as_str()), ("/run/containerd", "containerd-shim"));
    }

    #[test]
    fn what_is_installed_beside_is_preferred() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gantry-shim"), b"").unwrap();
        let names = Names::of(Path::new("gantryd"), Some(folder.path()));
        assert_eq!(names.shim, folder.path().join("gantry-shim").to_str().unwrap());
        assert_eq!(names.runtime, "gantry-runtime");
    }
}
