//! How a log line looks: for people, as 0.2 wrote it, or as JSON.

use clap::ValueEnum;
use gantry_supervisor::Timestamp;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people: `TIME LEVEL message key=value`.
    Text,
    /// As containerd 0.2 wrote them: `time="TIME" level=LEVEL msg="message" key=value`.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// The name of the field that holds the sentence.
const MESSAGE: &str = "message";

impl LogFormat {
    /// The line of an event, with its newline.
    pub(super) fn line(self, event: &Event<'_>, colours: bool) -> String {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.line_of(&Timestamp::now(), event.metadata().level(), event.metadata().target(), &fields, colours)
    }

    fn line_of(
        self,
        time: &Timestamp,
        level: &Level,
        target: &str,
        Fields { message, others }: &Fields,
        colours: bool,
    ) -> String {
        let mut line = String::with_capacity(192);
        // Writing to a string does not fail.
        let _ = match self {
            Self::Text if colours => {
                write!(line, "\x1b[2m{time}\x1b[0m {}{level:>5}\x1b[0m {}", colour(level), Printable(message))
            }
            Self::Text => write!(line, "{time} {level:>5} {}", Printable(message)),
            Self::Logfmt => {
                write!(line, "time=\"{time}\" level={} msg={}", old_name(level), Quoted(message))
            }
            Self::Json => {
                let level = level.as_str();
                write!(
                    line,
                    "{{\"timestamp\":\"{time}\",\"level\":\"{level}\",\"message\":{}",
                    Quoted(message)
                )
            }
        };
        for (name, value) in others {
            let _ = match (self, value) {
                (Self::Json, Value::Number(value)) => write!(line, ",\"{name}\":{value}"),
                (Self::Json, Value::Text(value) | Value::Shown(value)) => {
                    write!(line, ",\"{name}\":{}", Quoted(value))
                }
                (Self::Logfmt, Value::Text(value) | Value::Shown(value)) if needs_quotes(value) => {
                    write!(line, " {name}={}", Quoted(value))
                }
                (Self::Text, Value::Text(value)) => write!(line, " {name}={}", Quoted(value)),
                (_, Value::Text(value) | Value::Number(value) | Value::Shown(value)) => {
                    write!(line, " {name}={}", Printable(value))
                }
            };
        }
        if self == Self::Json {
            let _ = write!(line, ",\"target\":{}}}", Quoted(target));
        }
        line.push('\n');
        line
    }
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// The level's name in 0.2.
fn old_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// The characters that 0.2's logger leaves without quotes.
fn needs_quotes(value: &str) -> bool {
    value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b))
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

enum Value {
    /// A string.
    Text(String),
    /// A number or a truth, which JSON has too.
    Number(String),
    /// Whatever something looks like when shown.
    Shown(String),
}

impl Fields {
    fn push(&mut self, field: &Field, value: Value) {
        match value {
            Value::Text(text) | Value::Shown(text) if field.name() == MESSAGE => self.message = text,
            value => self.others.push((field.name(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push(field, Value::Shown(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Number(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Number(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Number(value.to_string()));
    }
}

/// Text without control characters: what a client sends must not be able to look like another line.
struct Printable<'a>(&'a str);

impl std::fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| escape(f, c))
    }
}

/// Text in quotes, which is a string of JSON and one of Go too.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c => escape(f, c)?,
            }
        }
        f.write_char('"')
    }
}

fn escape(f: &mut std::fmt::Formatter<'_>, c: char) -> std::fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\t' => f.write_str("\\t"),
        '\r' => f.write_str("\\r"),
        c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c)),
        c => f.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat) -> String {
        let fields = Fields {
            message: "it \"failed\"\nfor x".to_owned(),
            others: vec![
                ("container", Value::Shown("a-1".to_owned())),
                ("path", Value::Text("/x y".to_owned())),
                ("pid", Value::Number("7".to_owned())),
                ("error", Value::Shown("no such file\u{1b}[2J".to_owned())),
            ],
        };
        format.line_of(&Timestamp::default(), &Level::WARN, "gantryd::x", &fields, false)
    }

    #[test]
    fn text_is_for_people_and_one_line() {
        assert_eq!(
            line(LogFormat::Text),
            "1970-01-01T00:00:00Z  WARN it \"failed\"\\nfor x container=a-1 path=\"/x y\" pid=7 \
             error=no such file\\u001b[2J\n"
        );
    }

    #[test]
    fn logfmt_is_what_0_2_wrote() {
        assert_eq!(
            line(LogFormat::Logfmt),
            "time=\"1970-01-01T00:00:00Z\" level=warning msg=\"it \\\"failed\\\"\\nfor x\" container=a-1 \
             path=\"/x y\" pid=7 error=\"no such file\\u001b[2J\"\n"
        );
    }

    #[test]
    fn json_is_flat() {
        assert_eq!(
            line(LogFormat::Json),
            "{\"timestamp\":\"1970-01-01T00:00:00Z\",\"level\":\"WARN\",\"message\":\"it \\\"failed\\\"\\nfor x\",\
             \"container\":\"a-1\",\"path\":\"/x y\",\"pid\":7,\"error\":\"no such file\\u001b[2J\",\
             \"target\":\"gantryd::x\"}\n"
        );
    }
}
