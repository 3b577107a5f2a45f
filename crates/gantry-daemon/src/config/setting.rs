//! One setting from the environment or a file.

use crate::error::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;
use std::path::PathBuf;

/// Flags that are no settings.
const NO_SETTINGS: [&str; 2] = ["help", "version"];

/// A setting, spelled as its flag, and what it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The flag without its dashes.
    pub name: String,
    /// As text; more than one only for flags that may be repeated.
    pub values: Vec<String>,
    /// Where it was set.
    pub origin: Origin,
}

/// Where something was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This variable of the environment.
    Environment(String),
    /// This line of this file.
    File(PathBuf, usize),
}

/// The name under which a flag is a setting, if it is one.
pub(super) fn name(arg: &clap::Arg) -> Option<&str> {
    arg.get_long().filter(|name| !NO_SETTINGS.contains(name))
}

/// What a complaint of clap's says in short.
pub(super) fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\n").next().unwrap_or(text).lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

impl Setting {
    /// Lets the flag of this name read the values.
    ///
    /// # Errors
    /// When there is no such flag, or it does not take the values.
    pub(super) fn check(&self, command: &clap::Command) -> Result<(), Error> {
        let in_file = matches!(self.origin, Origin::File(..));
        let is_config = in_file && self.name == "config";
        if is_config || NO_SETTINGS.contains(&self.name.as_str()) {
            return Err(self.unknown(None));
        }
        let repeatable = |arg: &clap::Arg| matches!(arg.get_action(), clap::ArgAction::Append);
        let flag = command.get_arguments().find(|arg| arg.get_long() == Some(self.name.as_str()));
        if flag.is_some_and(|flag| self.values.len() != 1 && !repeatable(flag)) {
            return Err(self.wrong("it takes one value, not a list"));
        }
        let argv = std::iter::once("x".to_owned())
            .chain(self.values.iter().map(|value| format!("--{}={value}", self.name)))
            // A list may be empty, and must have a known name all the same.
            .chain(flag.is_none().then(|| format!("--{}", self.name)));
        // Alone it may lack what it needs beside it; that is not looked at here.
        let Err(error) = command.clone().ignore_errors(false).try_get_matches_from(argv) else {
            return Ok(());
        };
        match error.kind() {
            ErrorKind::MissingRequiredArgument => Ok(()),
            ErrorKind::UnknownArgument => Err(self.unknown(suggestion(&error))),
            _ => Err(match error.source() {
                Some(reason) => self.wrong(&reason.to_string()),
                None => self.wrong(&first_line(&error)),
            }),
        }
    }

    fn unknown(&self, suggestion: Option<String>) -> Error {
        let hint = match suggestion {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "\"gantryd config default\" shows all".to_owned(),
        };
        Error::ConfigUnknown { place: self.place(), name: self.name.clone(), hint }
    }

    fn wrong(&self, reason: &str) -> Error {
        let place = match &self.origin {
            // The variable names the setting.
            Origin::Environment(variable) => variable.clone(),
            Origin::File(..) => format!("{}: {}", self.place(), self.name),
        };
        Error::ConfigValue { place, reason: reason.to_owned() }
    }

    fn place(&self) -> String {
        match &self.origin {
            Origin::Environment(variable) => variable.clone(),
            Origin::File(path, line) => format!("{}:{line}", path.display()),
        }
    }
}

/// The flag that clap thinks was meant.
fn suggestion(error: &clap::Error) -> Option<String> {
    let suggested = match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(one) => one,
        ContextValue::Strings(several) => several.first()?,
        _ => return None,
    };
    Some(suggested.trim_start_matches('-').to_owned())
}
