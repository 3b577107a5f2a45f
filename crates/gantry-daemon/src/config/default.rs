//! The configuration file that sets nothing and explains everything.

use super::{RELOADABLE, setting};
use crate::args::Args;
use clap::{ArgAction, CommandFactory};
use std::fmt::Write;

const HEAD: &str = "\
# Settings of gantryd. Each line without its # changes one; as it stands, the file changes nothing.
#
# A flag of the same name wins over the environment (GANTRYD_START_TIMEOUT for start-timeout), and that over this file.
# \"gantryd config check\" tells what is wrong with it. SIGHUP makes a running daemon read it again; settings marked
# with (reload) then change, the others wait for a restart, which containers do not notice.
";

/// The file's text.
pub(crate) fn print_default(command: &clap::Command) -> String {
    let mut text = HEAD.to_owned();
    // Whose defaults were changed have moved to the end of `command`.
    for defined in Args::command().get_arguments() {
        let Some(name) = setting::name(defined).filter(|name| *name != "config") else { continue };
        let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == defined.get_id()) else {
            continue;
        };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let reload = if RELOADABLE.contains(&name) { " (reload)" } else { "" };
        let allowed = arg.get_possible_values();
        let allowed: Vec<_> = allowed.iter().map(clap::builder::PossibleValue::get_name).collect();
        let allowed = if allowed.is_empty() { String::new() } else { format!(": {}", allowed.join(", ")) };
        // Writing to a string does not fail.
        let _ = write!(text, "\n# {help}{allowed}{reload}\n#{name} = {}\n", value(arg));
    }
    text
}

/// The default in TOML, or an example of a value where there is none.
fn value(arg: &clap::Arg) -> String {
    let default = arg.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
    match (arg.get_action(), default) {
        (ArgAction::Append, _) => "[]".to_owned(),
        (_, Some(value)) if value.parse::<i64>().is_ok() || value.parse::<bool>().is_ok() => value,
        (_, Some(value)) => quoted(&value),
        (_, None) => match arg.get_value_names().and_then(<[_]>::first) {
            Some(name) if name.as_str() == "N" => "0".to_owned(),
            Some(name) => quoted(name),
            None => quoted(""),
        },
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;
    use crate::names::Names;
    use std::path::Path;

    #[test]
    fn it_is_a_file_that_can_be_used_with_every_default_in_it() {
        let names = Names::of(Path::new("gantryd"), None);
        let text = print_default(&args::command(&names));
        let set: String = text
            .lines()
            .filter(|line| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# "))
            // What has no default shows what kind of value it takes.
            .filter(|line| {
                !line.split('"').nth(1).is_some_and(|v| v.chars().all(|c| c.is_ascii_uppercase() || c == ':'))
            })
            .map(|line| format!("{}\n", &line[1..]))
            .collect();
        assert!(set.contains("start-timeout = \"30s\"\n") && set.contains("debug = false\n"), "{set}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gantryd.toml");
        std::fs::write(&path, &set).unwrap();
        assert!(super::super::check(&names, &path).unwrap() > 10, "{set}");
        std::fs::write(&path, &text).unwrap();
        assert_eq!(super::super::check(&names, &path).unwrap(), 0);
    }
}
