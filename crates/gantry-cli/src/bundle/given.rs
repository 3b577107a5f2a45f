//! A bundle that the user brings (`--bundle`): it is used as it is, and looked at first, so that errors are clear.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::Error;

/// A bundle of the user's.
#[derive(Debug)]
pub(crate) struct GivenBundle {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// What its `config.json` runs.
    pub(crate) command: Vec<String>,
}

/// Checks that a bundle can be run with or without a terminal as asked.
pub(crate) fn check(path: &Path, terminal: bool) -> Result<GivenBundle, Error> {
    let path = fs::canonicalize(path).map_err(|error| Error::file("use the bundle", path, error))?;
    if !path.is_dir() {
        return Err(Error::file("use the bundle", &path, io::Error::from(io::ErrorKind::NotADirectory)));
    }
    let file = path.join("config.json");
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::impossible(
                format!("cannot use the bundle {}: it has no config.json", path.display()),
                "`runc spec` writes one to start from",
            ));
        }
        Err(error) => return Err(Error::file("read", &file, error)),
    };
    let config: Value = serde_json::from_slice(&text).map_err(|error| {
        Error::impossible(
            format!("cannot use {}: {error}", file.display()),
            "is it JSON? `jq . config.json` tells",
        )
    })?;
    let process = &config["process"];
    if process["terminal"].as_bool().unwrap_or(false) != terminal {
        let (state, hint) = if terminal {
            ("wants no terminal", "leave out -t, or set process.terminal to true in config.json")
        } else {
            ("wants a terminal", "add -t, or set process.terminal to false in config.json")
        };
        return Err(Error::impossible(format!("cannot use the bundle {}: it {state}", path.display()), hint));
    }
    let command = process["args"].as_array().into_iter().flatten();
    let command = command.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(GivenBundle { path, command })
}

// === impl GivenBundle ===

impl GivenBundle {
    /// Checks that there is a checkpoint to start from; `dir` is where it is kept if not in the bundle.
    pub(crate) fn check_checkpoint(&self, dir: Option<&Path>, name: &str) -> Result<(), Error> {
        let dir = dir.map_or_else(|| self.path.join("checkpoints"), Path::to_owned);
        if dir.join(name).is_dir() {
            return Ok(());
        }
        Err(Error::impossible(
            format!("there is no checkpoint `{name}` in {}", dir.display()),
            "`gantry checkpoint create` writes one; --checkpoint-dir says where it is kept",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(config: &str) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("config.json"), config).unwrap();
        temp
    }

    #[test]
    fn a_good_one() {
        let temp = bundle(r#"{"process": {"args": ["sh", "-c", "x"], "terminal": true}}"#);
        let given = check(temp.path(), true).unwrap();
        assert_eq!(given.command, ["sh", "-c", "x"]);
        assert!(given.path.is_absolute());
    }

    #[test]
    fn bad_ones_are_explained() {
        let temp = bundle(r#"{"process": {"terminal": true}}"#);
        let error = check(temp.path(), false).unwrap_err();
        assert!(error.to_string().ends_with("it wants a terminal"), "{error}");
        let temp = bundle("{");
        assert!(check(temp.path(), false).unwrap_err().to_string().contains("config.json"));
        let temp = tempfile::tempdir().unwrap();
        assert!(check(temp.path(), false).unwrap_err().to_string().ends_with("it has no config.json"));
        let error = check(&temp.path().join("missing"), false).unwrap_err();
        assert!(error.to_string().ends_with("no such file or directory"), "{error}");
    }
}
