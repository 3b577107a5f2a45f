//! How a failure reaches whoever called: a line in the `--log` file and the same text on standard error.
//!
//! The `--log` file is runc's contract: the caller reads its first line of level `error` and shows `msg` to the user.
//! As JSON a line is `{"level":"error","msg":"...","time":"2026-01-02T03:04:05Z"}`; as text it is logrus' form,
//! `time="..." level=error msg="..."`. Lines are appended whole, with one write.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::LogFormat;
use crate::error::Error;

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: &'a str,
}

/// Reports the failure that ends this command. What cannot be reported has nowhere to go, so nothing fails here.
pub(crate) fn report(log: Option<&Path>, format: LogFormat, error: &Error) {
    let message = error.chain();
    if let Some(path) = log {
        let line = render(format, &message, OffsetDateTime::now_utc());
        if let Err(cause) = append(path, &line) {
            let _ = writeln!(io::stderr(), "gantry-runtime: failed to write the log {path:?}: {cause}");
        }
    }
    let _ = writeln!(io::stderr(), "gantry-runtime: {message}");
}

fn render(format: LogFormat, message: &str, now: OffsetDateTime) -> String {
    let time = now.format(&Rfc3339).unwrap_or_default();
    match format {
        LogFormat::Json => {
            let line = Line { level: "error", msg: message, time: &time };
            serde_json::to_string(&line).unwrap_or_default() + "\n"
        }
        LogFormat::Text => format!("time=\"{time}\" level=error msg={message:?}\n"),
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_carry_level_message_and_time() {
        let line = render(LogFormat::Json, "a \"quoted\" cause", OffsetDateTime::UNIX_EPOCH);
        assert_eq!(
            line,
            "{\"level\":\"error\",\"msg\":\"a \\\"quoted\\\" cause\",\"time\":\"1970-01-01T00:00:00Z\"}\n"
        );
    }

    #[test]
    fn text_lines_are_logrus_form() {
        let line = render(LogFormat::Text, "no", OffsetDateTime::UNIX_EPOCH);
        assert_eq!(line, "time=\"1970-01-01T00:00:00Z\" level=error msg=\"no\"\n");
    }
}
