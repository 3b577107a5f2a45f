//! Reading a command line as Go's flag package does, before clap sees it.
//!
//! `-name` is `--name`; the value of a flag is the next argument, whatever that begins with (dockerd passes
//! `--runtime-args --systemd-cgroup=true`). Under the name of containerd, flags end at the first argument that is
//! none, and what follows is ignored.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Spells out `argv`, whose first one is the program, in the form that no reader misunderstands: `--name=value`.
pub(crate) fn normalise(
    command: &clap::Command,
    argv: impl IntoIterator<Item = OsString>,
    stop_at_positionals: bool,
) -> Vec<OsString> {
    let mut argv = argv.into_iter();
    let mut normal: Vec<OsString> = argv.next().into_iter().collect();
    while let Some(arg) = argv.next() {
        match Flag::of(command, &arg) {
            Some(Flag { mut spelled, needs_value }) => {
                if needs_value && let Some(value) = argv.next() {
                    spelled.push(b'=');
                    spelled.extend_from_slice(value.as_bytes());
                }
                normal.push(OsString::from_vec(spelled));
            }
            None if stop_at_positionals && !arg.as_bytes().starts_with(b"-") => break,
            None if stop_at_positionals && arg == "--" => break,
            None => {
                // A subcommand, whose own arguments are not ours; or a mistake, which clap explains.
                let rest_is_foreign = !arg.as_bytes().starts_with(b"-");
                normal.push(arg);
                if rest_is_foreign {
                    normal.extend(argv.by_ref());
                }
            }
        }
    }
    normal
}

/// A flag of ours.
struct Flag {
    /// `--name`, with its value if that was in the same argument.
    spelled: Vec<u8>,
    /// Whether its value is the next argument.
    needs_value: bool,
}

impl Flag {
    fn of(command: &clap::Command, arg: &OsStr) -> Option<Self> {
        let arg = arg.as_bytes();
        let name = arg.strip_prefix(b"--").or_else(|| arg.strip_prefix(b"-"))?;
        let end = name.iter().position(|b| *b == b'=').unwrap_or(name.len());
        let (name, value) = name.split_at(end);
        let name = std::str::from_utf8(name).ok()?;
        let definition = command.get_arguments().find(|definition| {
            let is_short =
                || definition.get_short().is_some_and(|short| name == short.encode_utf8(&mut [0; 4]));
            definition.get_long() == Some(name) || is_short()
        })?;
        let spelled = [b"--", definition.get_long()?.as_bytes(), value].concat();
        // One that may stand alone takes a value only after `=`.
        let takes_value = definition.get_action().takes_values() && !definition.is_require_equals_set();
        Some(Self { spelled, needs_value: takes_value && value.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Names;
    use std::path::Path;

    fn normal(name: &str, line: &str) -> String {
        let names = Names::of(Path::new(name), None);
        let argv = std::iter::once(name).chain(line.split(' ')).map(OsString::from);
        let normal = normalise(&crate::args::command(&names), argv, names.is_containerd());
        normal[1..].iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        assert_eq!(normal("gantryd", "-debug -state-dir /s"), "--debug --state-dir=/s");
        assert_eq!(normal("gantryd", "-l unix:///x -r=runc"), "--listen=unix:///x --runtime=runc");
        assert_eq!(normal("gantryd", "-debug=false --start-timeout=2m"), "--debug=false --start-timeout=2m");
    }

    #[test]
    fn a_value_may_look_like_a_flag() {
        assert_eq!(
            normal("containerd", "--runtime-args --systemd-cgroup=true --runtime-args -debug --debug"),
            "--runtime-args=--systemd-cgroup=true --runtime-args=-debug --debug"
        );
        assert_eq!(normal("gantryd", "--listen"), "--listen");
    }

    #[test]
    fn what_is_no_flag_ends_them() {
        assert_eq!(normal("containerd", "-debug more -debug"), "--debug");
        assert_eq!(normal("gantryd", "-debug config check -debug"), "--debug config check -debug");
        assert_eq!(normal("gantryd", "-nonsense"), "-nonsense");
    }
}
