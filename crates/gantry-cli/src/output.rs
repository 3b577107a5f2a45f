//! Writing to standard output, where a reader that has left is an ordinary error.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::Error;

pub(crate) fn bytes(to: &mut impl Write, bytes: &[u8]) -> Result<(), Error> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(Error::Output)
}

pub(crate) fn text(text: &str) -> Result<(), Error> {
    bytes(&mut io::stdout().lock(), text.as_bytes())
}

pub(crate) fn line(line: &str) -> Result<(), Error> {
    text(&format!("{line}\n"))
}

/// A line for the user beside the output. If nobody can read it, as after a terminal was closed, there is nobody to tell.
pub(crate) fn note(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// The same while the terminal is in raw mode, where a line needs a carriage return to begin on the left.
pub(crate) fn raw_note(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\r\n").as_bytes());
}

/// JSON for people: indented.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.into()))?;
    line(&json)
}

/// JSON for programs that read a stream: one line each.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string(value).map_err(|error| Error::Output(error.into()))?;
    line(&json)
}
