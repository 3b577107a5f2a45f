//! Where the programs under test are.

use std::env;
use std::path::{Path, PathBuf};

/// The folder of the built programs: `gantryd`, `gantry`, `gantry-shim`, `gantry-runtime`.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

/// A program is not where it should be.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} is not in {}: run `make build`, or set GANTRY_BIN_DIR to the folder of the built binaries",
    folder.display()
)]
pub struct MissingBinary {
    name: &'static str,
    folder: PathBuf,
}

impl Binaries {
    const NAMES: [&'static str; 4] = ["gantryd", "gantry", "gantry-shim", "gantry-runtime"];

    /// Finds the programs: in `GANTRY_BIN_DIR` when that is set, else in `gantry/bin` of the target folder (where
    /// `make build` puts them), else beside this test's own build.
    ///
    /// # Panics
    /// When one of them is nowhere.
    #[must_use]
    pub fn locate() -> Self {
        Self::try_locate().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Binaries::locate`].
    ///
    /// # Errors
    /// [`MissingBinary`] names the first program that is missing in the preferred folder.
    pub fn try_locate() -> Result<Self, MissingBinary> {
        if let Some(folder) = env::var_os("GANTRY_BIN_DIR") {
            return Self::in_folder(PathBuf::from(folder));
        }
        Self::in_folder(target().join("gantry/bin")).or_else(|missing| {
            // <target>/<triple>/<profile>/deps/<this test>
            let own = env::current_exe().ok();
            let profile = own.as_deref().and_then(Path::parent).and_then(Path::parent);
            profile.map(Path::to_owned).and_then(|folder| Self::in_folder(folder).ok()).ok_or(missing)
        })
    }

    /// Daemon, shim and runtime with failpoints: in `GANTRY_FAILPOINTS_BIN_DIR` when that is set, else in
    /// `gantry/failpoints` of the target folder, where `scripts/failpoints.sh` puts them. The client has none.
    ///
    /// # Panics
    /// When one of them is not there.
    #[must_use]
    pub fn with_failpoints() -> Self {
        let folder = env::var_os("GANTRY_FAILPOINTS_BIN_DIR")
            .map_or_else(|| target().join("gantry/failpoints"), PathBuf::from);
        for name in Self::NAMES.into_iter().filter(|name| *name != "gantry") {
            assert!(
                folder.join(name).is_file(),
                "{name} is not in {}: run `scripts/failpoints.sh`, or set GANTRY_FAILPOINTS_BIN_DIR",
                folder.display()
            );
        }
        Self { folder }
    }

    fn in_folder(folder: PathBuf) -> Result<Self, MissingBinary> {
        match Self::NAMES.iter().find(|name| !folder.join(name).is_file()) {
            Some(name) => Err(MissingBinary { name, folder }),
            None => Ok(Self { folder }),
        }
    }

    /// The daemon.
    #[must_use]
    pub fn gantryd(&self) -> PathBuf {
        self.folder.join("gantryd")
    }

    /// The client.
    #[must_use]
    pub fn gantry(&self) -> PathBuf {
        self.folder.join("gantry")
    }

    /// The shim.
    #[must_use]
    pub fn shim(&self) -> PathBuf {
        self.folder.join("gantry-shim")
    }

    /// The built-in OCI runtime.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.folder.join("gantry-runtime")
    }
}

/// Cargo's target folder; without a word on it, the one of the source tree that this test was built from.
fn target() -> PathBuf {
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_way_out() {
        let empty = tempfile::tempdir().unwrap();
        let error = Binaries::in_folder(empty.path().to_owned()).unwrap_err().to_string();
        assert!(error.starts_with("gantryd is not in "), "{error}");
        assert!(error.contains("make build"), "{error}");
    }

    #[test]
    fn a_complete_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for name in Binaries::NAMES {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let binaries = Binaries::in_folder(folder.path().to_owned()).unwrap();
        assert_eq!(binaries.shim(), folder.path().join("gantry-shim"));
    }
}
