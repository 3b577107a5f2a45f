//! From the words that were typed to what is to be done.

use std::fmt::Write;

use super::command::{Action, CTR, Command, VERSION};
use super::error::Error;
use super::flags::{Flag, FlagError, Flags, HELP, Kind, flags_first, read};

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Line {
    /// Print this.
    Print(String),
    /// Print this help, because of a mistake.
    Mistake(String, FlagError),
    Run(Run),
}

/// A command with everything that it was given.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) action: Action,
    pub(crate) global: Flags,
    pub(crate) flags: Flags,
    pub(crate) args: Vec<String>,
}

/// The names of the command that explains the others.
const HELP_NAMES: [&str; 2] = ["help", "h"];

// === impl Line ===

impl Line {
    /// Reads the words after the program's name.
    pub(crate) fn read(words: &[String]) -> Result<Self, Error> {
        let (global, words) = match read(CTR.flags, words) {
            Ok(read) => read,
            Err(error) => return Ok(Self::Mistake(help(&[&CTR]), error)),
        };
        if global.is_on(&HELP) {
            return Ok(Self::Print(help(&[&CTR])));
        }
        if global.is_on(&VERSION) {
            return Ok(Self::Print(format!("ctr version {}\n", version())));
        }
        Self::descend(vec![&CTR], global, words)
    }

    /// Goes down to the command that is named; `words` are those after the last of `path`.
    fn descend(mut path: Vec<&'static Command>, global: Flags, words: Vec<String>) -> Result<Self, Error> {
        let command = path[path.len() - 1];
        let named = words.first().map(String::as_str).unwrap_or_default();
        if HELP_NAMES.contains(&named) {
            return explain(path, words.get(1));
        }
        if let Some(next) = command.subcommands.iter().find(|next| next.name == named) {
            path.push(next);
            let words =
                if next.subcommands.is_empty() { flags_first(&words[1..]) } else { words[1..].to_vec() };
            return match read(next.flags, &words) {
                Err(error) => Ok(Self::Mistake(help(&path), error)),
                Ok((flags, _)) if flags.is_on(&HELP) => Ok(Self::Print(help(&path))),
                Ok((_, words)) if !next.subcommands.is_empty() => Self::descend(path, global, words),
                Ok((flags, args)) => Ok(Self::Run(Run { action: next.action, global, flags, args })),
            };
        }
        match command.action {
            Action::Help if named.is_empty() => Ok(Self::Print(help(&path))),
            Action::Help => Err(Error::NoSuchCommand(named.to_owned())),
            action => Ok(Self::Run(Run { action, global, flags: Flags::default(), args: words })),
        }
    }
}

/// `help`, or `help COMMAND`.
fn explain(mut path: Vec<&'static Command>, topic: Option<&String>) -> Result<Line, Error> {
    if let Some(topic) = topic {
        let commands = path[path.len() - 1].subcommands;
        match commands.iter().find(|command| command.name == topic) {
            Some(command) => path.push(command),
            None => return Err(Error::NoSuchCommand(topic.clone())),
        }
    }
    Ok(Line::Print(help(&path)))
}

// === texts ===

/// The version of 0.2 that this is, and the commit that it was built from, if the build said so.
pub(crate) fn version() -> String {
    const COMPATIBLE: &str = "0.2.9";
    match option_env!("GANTRY_COMMIT") {
        Some(commit) if !commit.is_empty() => format!("{COMPATIBLE} commit: {commit}"),
        _ => COMPATIBLE.to_owned(),
    }
}

fn help(path: &[&'static Command]) -> String {
    let command = path[path.len() - 1];
    let name = path.iter().map(|command| command.name).collect::<Vec<_>>().join(" ");
    let options = match (path.len(), command.flags.is_empty()) {
        (1, _) => " [global options]",
        (_, true) => "",
        (_, false) => " [command options]",
    };
    let arguments =
        if command.arguments.is_empty() { String::new() } else { format!(" {}", command.arguments) };
    let mut text = format!("NAME:\n   {name} - {}\n\nUSAGE:\n   {name}{options}{arguments}\n", command.about);
    if path.len() == 1 {
        text.push_str(&format!("\nVERSION:\n   {}\n", version()));
    }
    if !command.subcommands.is_empty() {
        let mut rows: Vec<_> = command
            .subcommands
            .iter()
            .map(|command| (command.name.to_owned(), command.about.to_owned()))
            .collect();
        rows.push((HELP_NAMES.join(", "), "show the commands, or help for one of them".to_owned()));
        section(&mut text, "COMMANDS", &rows);
    }
    let title = if path.len() == 1 { "GLOBAL OPTIONS" } else { "OPTIONS" };
    section(&mut text, title, &command.flags.iter().copied().chain([&HELP]).map(row).collect::<Vec<_>>());
    text
}

fn section(text: &mut String, title: &str, rows: &[(String, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    text.push_str(&format!("\n{title}:\n"));
    for (name, about) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "   {name:<width$}{about}");
    }
}

fn row(flag: &Flag) -> (String, String) {
    let names: Vec<String> = flag
        .names
        .iter()
        .map(|name| if name.len() == 1 { format!("-{name}") } else { format!("--{name}") })
        .collect();
    let value = if matches!(flag.kind, Kind::Switch) { "" } else { " value" };
    let default = match flag.kind {
        Kind::Text(default) if !default.is_empty() => format!(" (default: {default:?})"),
        Kind::Number(default) if default != 0 => format!(" (default: {default})"),
        Kind::Span(default) => format!(" (default: {default:?})"),
        Kind::List => " (may be repeated)".to_owned(),
        _ => String::new(),
    };
    (format!("{}{value}", names.join(", ")), format!("{}{default}", flag.help))
}

#[cfg(test)]
mod tests {
    use super::super::command::{ADDRESS, ATTACH, ID, LABEL, SIGNAL};
    use super::*;

    fn line(line: &str) -> Result<Line, Error> {
        Line::read(&line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    fn run(text: &str) -> Run {
        match line(text) {
            Ok(Line::Run(run)) => run,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn print(text: &str) -> String {
        match line(text) {
            Ok(Line::Print(text)) => text,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_command_is_found() {
        let cases = [
            ("version", Action::Version),
            ("state web", Action::State),
            ("events", Action::Events),
            ("containers", Action::List),
            ("containers web", Action::List),
            ("containers list web", Action::List),
            ("containers start", Action::Start),
            ("containers exec", Action::Exec),
            ("containers kill", Action::Kill),
            ("containers pause", Action::Pause),
            ("containers resume", Action::Resume),
            ("containers state", Action::State),
            ("containers stats", Action::Stats),
            ("containers watch", Action::Watch),
            ("containers update", Action::Update),
            ("checkpoints web", Action::ListCheckpoints),
            ("checkpoints list web", Action::ListCheckpoints),
            ("checkpoints create web one", Action::CreateCheckpoint),
            ("checkpoints delete web one", Action::DeleteCheckpoint),
        ];
        for (text, action) in cases {
            assert_eq!(run(text).action, action, "{text}");
        }
    }

    #[test]
    fn arguments_and_flags_reach_the_command() {
        let start = run("--address unix:///x -debug containers start web /bundle --attach -l a=b");
        assert_eq!(start.global.text(&ADDRESS), "unix:///x");
        assert_eq!(
            (start.args.join(" ").as_str(), start.flags.list(&LABEL)),
            ("web /bundle", vec!["a=b".to_owned()])
        );
        assert!(start.flags.is_on(&ATTACH));
        let exec = run("containers exec --id web --pid one sh -c x --id no");
        assert_eq!((exec.flags.text(&ID).as_str(), exec.args.join(" ").as_str()), ("web", "sh -c x --id no"));
        assert_eq!(run("containers kill web -s 9").flags.number(&SIGNAL), 9);
        assert_eq!(
            run("containers web -s 9").args,
            ["web", "-s", "9"],
            "a group is read up to its first argument"
        );
    }

    #[test]
    fn mistakes_come_with_the_help_of_the_command() {
        let cases = [
            ("--bogus version", "ctr - "),
            ("containers --id x", "ctr containers - "),
            ("containers kill web -s KILL", "ctr containers kill - "),
            ("checkpoints --checkpoint-dir /x web", "ctr checkpoints - "),
            ("events --timestamp", "ctr events - "),
        ];
        for (text, name) in cases {
            match line(text) {
                Ok(Line::Mistake(help, _)) => {
                    assert!(help.starts_with(&format!("NAME:\n   {name}")), "{text}: {help}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(line("bogus"), Err(Error::NoSuchCommand(name)) if name == "bogus"));
        assert!(matches!(line("help bogus"), Err(Error::NoSuchCommand(_))));
    }

    #[test]
    fn help_and_version() {
        assert_eq!(print("--version"), format!("ctr version {}\n", version()));
        assert_eq!(print("-v"), print("--version"));
        for text in ["", "help", "h", "-h", "--help", "--debug"] {
            assert_eq!(print(text), help(&[&CTR]), "{text}");
        }
        let start = print("containers start --help");
        assert_eq!(start, print("containers help start"));
        assert!(start.contains("\n   --runtime, -r value"), "{start}");
        assert!(start.contains("(default: \"runc\")"), "{start}");
        assert!(
            print("containers --help").contains("\nCOMMANDS:\n   exec"),
            "{}",
            print("containers --help")
        );
        assert_eq!(print("help containers"), print("containers help"));
    }

    #[test]
    fn no_command_has_two_flags_of_one_name() {
        fn check(command: &Command) {
            let mut names: Vec<&str> = command
                .flags
                .iter()
                .copied()
                .chain([&HELP])
                .flat_map(|flag| flag.names.iter().copied())
                .collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", command.name);
            command.subcommands.iter().for_each(check);
        }
        check(&CTR);
    }
}
