//! `shim-log.json` and `log.json`: JSON objects with `level` and `msg`, one after another, with or without
//! newlines between them.

use crate::Result;
use crate::atomic;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogEntry {
    /// `error`, `warn` (`warning` from runtimes), `info`, `debug`.
    pub level: String,
    /// The message.
    pub msg: String,
}

impl LogEntry {
    /// An entry of level `error`.
    #[must_use]
    pub fn error(msg: impl Into<String>) -> Self {
        Self { level: "error".to_owned(), msg: msg.into() }
    }

    /// The bytes to append to the log: one line.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The first error in the log; `None` when there is no log or no error in it.
///
/// What does not parse ends the reading, since nothing says where the next entry would begin.
///
/// # Errors
/// [`crate::Error`] when the file is there but cannot be read.
pub fn first_error(path: &Path) -> Result<Option<String>> {
    let Some(contents) = atomic::read_optional(path)? else { return Ok(None) };
    let entries = serde_json::Deserializer::from_slice(&contents).into_iter::<LogEntry>();
    Ok(entries
        .map_while(std::result::Result::ok)
        .find(|entry| matches!(entry.level.as_str(), "error" | "fatal"))
        .map(|entry| entry.msg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_error_with_or_without_newlines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        assert_eq!(first_error(&path).unwrap(), None);
        let text = concat!(
            r#"{"level":"warn","msg":"w"}{"level":"error","msg":"a \"b\"","time":"t"}"#,
            "\n",
            r#"{"level":"error","msg":"later"}"#
        );
        std::fs::write(&path, text).unwrap();
        assert_eq!(first_error(&path).unwrap().as_deref(), Some("a \"b\""));
        std::fs::write(&path, "{\"level\":\"error\",\"msg\":\"torn").unwrap();
        assert_eq!(first_error(&path).unwrap(), None);
    }

    #[test]
    fn what_is_written_is_escaped() {
        let line = LogEntry::error("quote \" and\nnewline").to_line();
        let entry: LogEntry = serde_json::from_slice(&line).unwrap();
        assert_eq!(entry.msg, "quote \" and\nnewline");
    }
}
