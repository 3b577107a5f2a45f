//! Where settings come from: flags, the environment, the configuration file, defaults; the first that has one wins.
//!
//! A setting is defined once, as a flag ([`crate::args`]). The other layers only replace its default, so each is read,
//! checked and documented by that one definition.

mod default;
mod file;
mod setting;

pub(crate) use default::print_default;

use crate::args::{self, Args};
use crate::error::Error;
use crate::names::Names;
use clap::{ArgMatches, FromArgMatches};
use setting::{Origin, Setting};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Settings that a running daemon can change.
pub(crate) const RELOADABLE: [&str; 6] =
    ["debug", "log-level", "retain-count", "runtime", "runtime-args", "start-timeout"];

/// What a name must begin with in the environment to be one of ours.
const VARIABLE_PREFIX: &str = "GANTRYD_";

/// What there is to take settings from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// The command line, as [`crate::argv::normalise`] spells it.
    pub argv: Vec<OsString>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The settings as what they mean.
    pub args: Args,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The settings as text, by flag, for comparing.
    pub texts: BTreeMap<String, Vec<String>>,
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The command line is wrong, or asks for help or the version.
    Usage(clap::Error),
    /// A layer below it is.
    Other(Error),
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Sources {
    /// What this process was started with.
    pub(crate) fn of_this_process(names: &Names) -> Self {
        let command = args::command(names);
        Self {
            argv: crate::argv::normalise(&command, std::env::args_os(), names.is_containerd()),
            environment: std::env::vars_os().collect(),
        }
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// The first thing that is wrong with one of them.
    pub(crate) fn load(&self, names: &Names) -> Result<Loaded, LoadError> {
        let plain = args::command(names);
        let environment = self.settings_of_environment(&plain, names)?;
        let command = layer(plain.clone(), &environment);
        let (matches, args) = self.parse(command.clone()).map_err(LoadError::Usage)?;
        let file = match &args.config {
            // Asked for on the command line or in the environment: it has to be there.
            Some(path) => Some((path.clone(), file::read(path)?)),
            None => match names.config.map(Path::new) {
                Some(path) if args.command.is_none() => {
                    file::read_optional(path)?.map(|text| (path.into(), text))
                }
                _ => None,
            },
        };
        let Some((path, text)) = file.filter(|_| args.command.is_none()) else {
            return Ok(Loaded { args, file: None, texts: texts(&command, &matches) });
        };
        let in_file = settings_of_file(names, &path, &text)?;
        let command = layer(layer(plain, &in_file), &environment);
        let (matches, args) = self.parse(command.clone()).map_err(LoadError::Usage)?;
        Ok(Loaded { args, file: Some(path), texts: texts(&command, &matches) })
    }

    fn parse(&self, command: clap::Command) -> Result<(ArgMatches, Args), clap::Error> {
        let matches = command.try_get_matches_from(&self.argv)?;
        let args = Args::from_arg_matches(&matches)?;
        Ok((matches, args))
    }

    fn settings_of_environment(&self, command: &clap::Command, names: &Names) -> Result<Vec<Setting>, Error> {
        let mut settings = Vec::new();
        if names.is_containerd() {
            return Ok(settings);
        }
        for arg in command.get_arguments() {
            let Some(name) = setting::name(arg) else { continue };
            let variable = format!("{VARIABLE_PREFIX}{}", name.to_uppercase().replace('-', "_"));
            let value = self.environment.iter().find(|(key, _)| *key == *variable).map(|(_, value)| value);
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            let value = value.to_string_lossy();
            let values = match arg.get_action() {
                clap::ArgAction::Append => value.split_whitespace().map(str::to_owned).collect(),
                _ => vec![value.into_owned()],
            };
            let setting = Setting { name: name.to_owned(), values, origin: Origin::Environment(variable) };
            setting.check(command)?;
            settings.push(setting);
        }
        Ok(settings)
    }
}

/// The settings of a file, all of them checked.
fn settings_of_file(names: &Names, path: &Path, text: &str) -> Result<Vec<Setting>, Error> {
    let command = args::command(names);
    let settings = file::parse(path, text)?;
    settings.iter().try_for_each(|setting| setting.check(&command))?;
    Ok(settings)
}

/// Checks a file, and says how many settings it has.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn check(names: &Names, path: &Path) -> Result<usize, Error> {
    let text = file::read(path)?;
    let settings = settings_of_file(names, path, &text)?;
    // What is right by itself may not be together, such as a certificate without its key.
    let command = layer(args::command(names), &settings);
    let matches = command.try_get_matches_from([names.program]);
    let args = matches.and_then(|matches| Args::from_arg_matches(&matches));
    let wrong = |reason| Error::ConfigTogether { path: path.to_owned(), reason };
    args.map_err(|error| wrong(setting::first_line(&error)))?
        .validate()
        .map_err(|text| wrong(text.to_owned()))?;
    Ok(settings.len())
}

/// Puts settings in the place of defaults.
fn layer(command: clap::Command, settings: &[Setting]) -> clap::Command {
    settings.iter().fold(command, |command, setting| {
        let id = setting.name.replace('-', "_");
        let values: Vec<clap::builder::OsStr> =
            setting.values.iter().map(|value| value.clone().into()).collect();
        command.mut_arg(id, |arg| arg.required(false).default_values(values))
    })
}

/// What each setting is, as text.
fn texts(command: &clap::Command, matches: &ArgMatches) -> BTreeMap<String, Vec<String>> {
    let mut texts = BTreeMap::new();
    for arg in command.get_arguments() {
        let Some(name) = setting::name(arg) else { continue };
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        texts.insert(name.to_owned(), values.map(|value| value.to_string_lossy().into_owned()).collect());
    }
    texts
}

/// The names of the settings that are not the same in both.
pub(crate) fn changed<'a>(old: &'a Loaded, new: &'a Loaded) -> Vec<&'a str> {
    let all = old.texts.keys().chain(new.texts.keys().filter(|name| !old.texts.contains_key(*name)));
    all.filter(|name| old.texts.get(*name) != new.texts.get(*name)).map(String::as_str).collect()
}

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzzing(names: &Names, text: &str) {
    let path = Path::new("/etc/gantry/gantryd.toml");
    let settings = match settings_of_file(names, path, text) {
        Ok(settings) => settings,
        Err(error) => {
            assert!(error.to_string().contains("/etc/gantry/gantryd.toml:"), "{error}");
            return;
        }
    };
    for setting in &settings {
        let Origin::File(_, line) = setting.origin else { continue };
        assert!((1..=text.split('\n').count()).contains(&line), "{setting:?}");
    }
    let command = layer(args::command(names), &settings);
    let matches = command.clone().try_get_matches_from([names.program]);
    if let Ok(args) = matches.as_ref().map(Args::from_arg_matches) {
        // What each value alone may be has been seen; together they may still lack something.
        let _ = args.map(|args| args.validate());
        let texts = matches.map(|matches| texts(&command, &matches)).unwrap_or_default();
        for Setting { name, values, .. } in settings {
            assert_eq!(texts.get(&name), Some(&values));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn names() -> Names {
        Names { config: None, ..Names::of(Path::new("gantryd"), None) }
    }

    fn load(names: &Names, args: &[&str], environment: &[(&str, &str)]) -> Result<Loaded, String> {
        let sources = Sources {
            argv: std::iter::once(&"gantryd").chain(args).map(OsString::from).collect(),
            environment: environment.iter().map(|(key, value)| (key.into(), value.into())).collect(),
        };
        sources.load(names).map_err(|error| match error {
            LoadError::Usage(error) => error.to_string(),
            LoadError::Other(error) => error.to_string(),
        })
    }

    fn with_file(text: &str) -> (tempfile::TempDir, Names) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gantryd.toml");
        std::fs::write(&path, text).unwrap();
        let path: &'static str = path.to_str().unwrap().to_owned().leak();
        // A program's names are for ever. Kept where a search for leaks finds it.
        static PATHS: std::sync::Mutex<Vec<&str>> = std::sync::Mutex::new(Vec::new());
        PATHS.lock().unwrap().push(path);
        (folder, Names { config: Some(path), ..names() })
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let (_folder, names) =
            with_file("start-timeout = '1s'\nretain-count = 1\nruntime-args = ['--a', '--b']\n");
        let loaded = load(&names, &[], &[]).unwrap();
        assert_eq!((loaded.args.start_timeout, loaded.args.retain_count), (Duration::from_secs(1), 1));
        assert_eq!(loaded.args.runtime_args, ["--a", "--b"]);
        let environment = [
            ("GANTRYD_START_TIMEOUT", "2s"),
            ("GANTRYD_RUNTIME_ARGS", "--c --d"),
            ("GANTRYD_RETAIN_COUNT", ""),
        ];
        let loaded = load(&names, &["--start-timeout=3s"], &environment).unwrap();
        assert_eq!((loaded.args.start_timeout, loaded.args.retain_count), (Duration::from_secs(3), 1));
        assert_eq!(loaded.args.runtime_args, ["--c", "--d"]);
        let loaded = load(&names, &["--runtime-args=--e"], &environment).unwrap();
        assert_eq!(loaded.args.runtime_args, ["--e"]);
    }

    #[test]
    fn the_file_may_be_missing_unless_it_was_named() {
        let missing = Names { config: Some("/nonexistent/gantryd.toml"), ..names() };
        assert_eq!(load(&missing, &[], &[]).unwrap().file, None);
        let error = load(&names(), &["--config=/nonexistent/g.toml"], &[]).unwrap_err();
        assert!(error.contains("/nonexistent/g.toml"), "{error}");
        assert!(load(&names(), &[], &[("GANTRYD_CONFIG", "/nonexistent/g.toml")]).is_err());
    }

    #[test]
    fn a_wrong_value_is_told_with_its_place() {
        let (_folder, names) = with_file("# comment\nstart-timeout = 30\n");
        let error = load(&names, &[], &[]).unwrap_err();
        assert!(error.contains("gantryd.toml:2: start-timeout: \"30\" is no duration"), "{error}");
        let error = load(&super::tests::names(), &[], &[("GANTRYD_RETAIN_COUNT", "x")]).unwrap_err();
        assert!(error.contains("GANTRYD_RETAIN_COUNT: "), "{error}");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_knows_better() {
        let (_folder, names) = with_file("start-timeuot = '3s'\n");
        let error = load(&names, &[], &[]).unwrap_err();
        assert!(error.contains(":1: unknown setting \"start-timeuot\""), "{error}");
        assert!(error.contains("did you mean \"start-timeout\"?"), "{error}");
        for key in ["config", "version", "help"] {
            let (_folder, names) = with_file(&format!("{key} = 'x'\n"));
            assert!(load(&names, &[], &[]).unwrap_err().contains("unknown setting"), "{key}");
        }
    }

    #[test]
    fn a_file_can_be_wrong_as_a_whole() {
        let (_folder, names) = with_file("tls-cert = '/c'\n");
        let error = check(&names, Path::new(names.config.unwrap())).unwrap_err().to_string();
        assert!(error.contains("tls-key"), "{error}");
    }

    #[test]
    fn what_has_changed_is_known_by_name() {
        let old = load(&names(), &["--debug"], &[]).unwrap();
        let new = load(&names(), &["--runtime-args=-x"], &[("GANTRYD_RETAIN_COUNT", "500")]).unwrap();
        assert_eq!(changed(&old, &new), ["debug", "runtime-args"]);
    }

    #[test]
    fn containerd_reads_no_environment() {
        let names = Names::of(Path::new("containerd"), None);
        let loaded = load(&names, &[], &[("GANTRYD_RETAIN_COUNT", "7")]).unwrap();
        assert_eq!(loaded.args.retain_count, 500);
    }
}
