//! Flags as Go's `flag` package and the library that 0.2's ctr used read them; clap has another grammar.
//!
//! - `-name` and `--name` are the same.
//! - A value is what follows `=`, or else the next argument, whatever that begins with.
//! - A switch has a value only after `=`: `--attach=false`.
//! - Reading ends before the first argument that is no flag, and before `-`; it ends after `--`.
//! - A command without subcommands first moves everything from its first flag on to the front, see [`flags_first`].

use std::time::Duration;

use super::go;

/// What one flag is called, takes, and is for.
#[derive(Debug)]
pub(crate) struct Flag {
    /// The long name, then perhaps a letter.
    pub(crate) names: &'static [&'static str],
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

/// What a flag takes, and what it is when it is not given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// On or off; off.
    Switch,
    Text(&'static str),
    /// May be given several times.
    List,
    /// Decimal, `0x` or octal with a leading `0`.
    Number(i64),
    Span(Duration),
}

/// The flags of one command line.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    flag: &'static Flag,
    /// Which of its names was used.
    name: String,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Switch(bool),
    Text(String),
    Number(i64),
    Span(Duration),
}

/// A command line that cannot be read; the texts are Go's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlagError {
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value {} for -{name}: {cause}", go::quote(value))]
    BadSwitch { name: String, value: String, cause: go::BadValue },
    #[error("invalid value {} for flag -{name}: {cause}", go::quote(value))]
    BadValue { name: String, value: String, cause: go::BadValue },
    #[error("Cannot use two forms of the same flag: {0} {1}")]
    TwoForms(&'static str, &'static str),
}

/// In the set of every command, though none asks for it.
pub(crate) static HELP: Flag = Flag { names: &["help", "h"], kind: Kind::Switch, help: "show help" };

// === reading ===

/// Puts the arguments of a command without subcommands into the order in which they are read: everything from its first
/// flag up to `--`, then what stood before, then `--` and the rest.
///
/// That is how flags can follow the arguments (`kill ID --signal 9`), and why arguments between flags change places
/// (`start ID -a BUNDLE` reads as `start -a BUNDLE ID`).
pub(crate) fn flags_first(args: &[String]) -> Vec<String> {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let first = args[..end].iter().position(|arg| arg.starts_with('-') && arg != "-").unwrap_or(end);
    [&args[first..end], &args[..first], &args[end..]].concat()
}

/// Reads flags from the front; returns them and the arguments that follow.
pub(crate) fn read(known: &[&'static Flag], args: &[String]) -> Result<(Flags, Vec<String>), FlagError> {
    let mut flags = Flags::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.as_slice().first() {
        let Some(text) = arg.strip_prefix('-').filter(|text| !text.is_empty()) else { break };
        rest.next();
        if text == "-" {
            break;
        }
        let text = text.strip_prefix('-').unwrap_or(text);
        if text.starts_with(['-', '=']) {
            return Err(FlagError::Syntax(arg.clone()));
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let flag = *known
            .iter()
            .chain(&[&HELP])
            .find(|flag| flag.names.contains(&name))
            .ok_or_else(|| FlagError::Unknown(name.to_owned()))?;
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => "true".to_owned(),
            (None, _) => rest.next().cloned().ok_or_else(|| FlagError::NoValue(name.to_owned()))?,
        };
        let value = flag.value(name, value)?;
        flags.given.push(Given { flag, name: name.to_owned(), value });
    }
    flags.check_forms()?;
    Ok((flags, rest.as_slice().to_vec()))
}

// === impl Flag ===

impl Flag {
    pub(crate) const fn switch(names: &'static [&'static str], help: &'static str) -> Self {
        Self { names, kind: Kind::Switch, help }
    }

    pub(crate) const fn text(names: &'static [&'static str], help: &'static str) -> Self {
        Self { names, kind: Kind::Text(""), help }
    }

    pub(crate) const fn list(names: &'static [&'static str], help: &'static str) -> Self {
        Self { names, kind: Kind::List, help }
    }

    pub(crate) const fn number(names: &'static [&'static str], default: i64, help: &'static str) -> Self {
        Self { names, kind: Kind::Number(default), help }
    }

    /// Text that is something else than empty when the flag is not given.
    pub(crate) const fn or(self, default: &'static str) -> Self {
        Self { kind: Kind::Text(default), ..self }
    }

    fn value(&self, name: &str, value: String) -> Result<Value, FlagError> {
        let read = match self.kind {
            Kind::Switch => go::parse_bool(&value).map(Value::Switch),
            Kind::Text(_) | Kind::List => return Ok(Value::Text(value)),
            Kind::Number(_) => go::parse_signed(&value).map(Value::Number),
            Kind::Span(_) => go::parse_duration(&value).map(Value::Span),
        };
        let name = name.to_owned();
        read.map_err(|cause| match self.kind {
            Kind::Switch => FlagError::BadSwitch { name, value, cause },
            _ => FlagError::BadValue { name, value, cause },
        })
    }
}

// === impl Flags ===

impl Flags {
    pub(crate) fn is_on(&self, flag: &Flag) -> bool {
        self.last(flag, |value| if let Value::Switch(on) = value { Some(*on) } else { None }).unwrap_or(false)
    }

    pub(crate) fn text(&self, flag: &Flag) -> String {
        let given =
            self.last(flag, |value| if let Value::Text(text) = value { Some(text.clone()) } else { None });
        given.unwrap_or_else(|| match flag.kind {
            Kind::Text(default) => default.to_owned(),
            _ => String::new(),
        })
    }

    pub(crate) fn list(&self, flag: &Flag) -> Vec<String> {
        let values = self
            .of(flag)
            .filter_map(|value| if let Value::Text(text) = value { Some(text.clone()) } else { None });
        values.collect()
    }

    pub(crate) fn number(&self, flag: &Flag) -> i64 {
        let default = if let Kind::Number(default) = flag.kind { default } else { 0 };
        self.last(flag, |value| if let Value::Number(number) = value { Some(*number) } else { None })
            .unwrap_or(default)
    }

    pub(crate) fn span(&self, flag: &Flag) -> Duration {
        let default = if let Kind::Span(default) = flag.kind { default } else { Duration::ZERO };
        self.last(flag, |value| if let Value::Span(span) = value { Some(*span) } else { None })
            .unwrap_or(default)
    }

    fn of<'a>(&'a self, flag: &Flag) -> impl Iterator<Item = &'a Value> {
        let names = flag.names;
        self.given.iter().filter(move |given| given.flag.names == names).map(|given| &given.value)
    }

    fn last<T>(&self, flag: &Flag, of: impl Fn(&Value) -> Option<T>) -> Option<T> {
        self.of(flag).last().and_then(of)
    }

    fn check_forms(&self) -> Result<(), FlagError> {
        let is_given = |flag: &Flag, name: &str| {
            self.given.iter().any(|given| given.flag.names == flag.names && given.name == name)
        };
        for Given { flag, .. } in &self.given {
            if let [long, short] = flag.names
                && is_given(flag, long)
                && is_given(flag, short)
            {
                return Err(FlagError::TwoForms(short, long));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ATTACH: Flag = Flag::switch(&["attach", "a"], "");
    static PID: Flag = Flag::text(&["pid", "p"], "").or("init");
    static LABEL: Flag = Flag::list(&["label", "l"], "");
    static SIGNAL: Flag = Flag::number(&["signal", "s"], 15, "");
    static TIMEOUT: Flag =
        Flag { names: &["conn-timeout"], kind: Kind::Span(Duration::from_secs(1)), help: "" };
    static KNOWN: [&Flag; 5] = [&ATTACH, &PID, &LABEL, &SIGNAL, &TIMEOUT];

    fn words(line: &str) -> Vec<String> {
        line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn parse(line: &str) -> (Flags, String) {
        let (flags, rest) = read(&KNOWN, &words(line)).unwrap();
        (flags, rest.join(" "))
    }

    fn error(line: &str) -> String {
        read(&KNOWN, &words(line)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let (flags, rest) = parse("");
        assert!(!flags.is_on(&ATTACH));
        assert_eq!((flags.text(&PID).as_str(), flags.number(&SIGNAL)), ("init", 15));
        assert_eq!(
            (flags.list(&LABEL), flags.span(&TIMEOUT), rest.as_str()),
            (Vec::new(), Duration::from_secs(1), "")
        );
    }

    #[test]
    fn one_dash_or_two_and_a_value_after_a_space_or_an_equals_sign() {
        for line in ["--pid x -s 9 a", "-pid=x --s=9 a", "-p x -signal 0x9 a", "--p=x --signal=011 a"] {
            let (flags, rest) = parse(line);
            assert_eq!((flags.text(&PID).as_str(), rest.as_str()), ("x", "a"), "{line}");
            assert_eq!(flags.number(&SIGNAL), 9, "{line}");
        }
    }

    #[test]
    fn a_value_may_begin_with_dashes_and_hold_equals_signs() {
        let (flags, rest) = parse("-l --root=/x -l -- -l= -p --attach a");
        assert_eq!(flags.list(&LABEL), ["--root=/x", "--", ""]);
        assert_eq!(
            (flags.text(&PID).as_str(), flags.is_on(&ATTACH), rest.as_str()),
            ("--attach", false, "a")
        );
        assert_eq!(parse("-l=a=b=c").0.list(&LABEL), ["a=b=c"]);
    }

    #[test]
    fn a_switch_takes_no_next_argument() {
        let (flags, rest) = parse("-a false");
        assert!(flags.is_on(&ATTACH));
        assert_eq!(rest, "false");
        for off in ["--attach=false", "-a=0", "-a=F"] {
            assert!(!parse(off).0.is_on(&ATTACH), "{off}");
        }
        assert!(parse("-a=false -a=T").0.is_on(&ATTACH), "the last one counts");
    }

    #[test]
    fn reading_ends_at_the_first_argument_that_is_no_flag() {
        assert_eq!(parse("-a sh -c x -a").1, "sh -c x -a");
        assert_eq!(parse("-a - -p x").1, "- -p x");
        assert_eq!(parse("-a -- -p x").1, "-p x");
        assert_eq!(parse("-- -- x").1, "-- x");
        let (flags, rest) = read(&KNOWN, &["-a".to_owned(), String::new(), "-p".to_owned()]).unwrap();
        assert!(flags.is_on(&ATTACH) && rest.len() == 2);
    }

    #[test]
    fn mistakes_are_told_in_go_s_words() {
        let cases = [
            ("--bogus x", "flag provided but not defined: -bogus"),
            ("-bogus=1", "flag provided but not defined: -bogus"),
            ("-ap x", "flag provided but not defined: -ap"),
            ("---a", "bad flag syntax: ---a"),
            ("--=x", "bad flag syntax: --=x"),
            ("-=x", "bad flag syntax: -=x"),
            ("a --pid", ""),
            ("--pid", "flag needs an argument: -pid"),
            (
                "-a=maybe",
                "invalid boolean value \"maybe\" for -a: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                "-s KILL",
                "invalid value \"KILL\" for flag -s: strconv.ParseInt: parsing \"KILL\": invalid syntax",
            ),
            (
                "--conn-timeout soon",
                "invalid value \"soon\" for flag -conn-timeout: time: invalid duration soon",
            ),
            ("-p a --pid b", "Cannot use two forms of the same flag: p pid"),
        ];
        for (line, text) in cases {
            if text.is_empty() {
                parse(line);
            } else {
                assert_eq!(error(line), text, "{line}");
            }
        }
    }

    #[test]
    fn help_is_known_everywhere() {
        assert!(parse("-h").0.is_on(&HELP) && parse("--help").0.is_on(&HELP) && !parse("").0.is_on(&HELP));
    }

    #[test]
    fn flags_may_follow_the_arguments() {
        let order = |line: &str| flags_first(&words(line)).join(" ");
        assert_eq!(order("web --signal 9"), "--signal 9 web");
        assert_eq!(order("--signal 9 web"), "--signal 9 web");
        assert_eq!(order("web /bundle -a"), "-a web /bundle");
        // As with 0.2: what stands between flags changes places.
        assert_eq!(order("web -a /bundle"), "-a /bundle web");
        assert_eq!(order("--id a --pid b sh -c x"), "--id a --pid b sh -c x");
        assert_eq!(order("sh --id a --pid b -- -c x"), "--id a --pid b sh -- -c x");
        assert_eq!(order("-- -a"), "-- -a");
        assert_eq!(order("- x -a"), "-a - x");
        assert_eq!(order("a b"), "a b");
        assert_eq!(order(""), "");
    }
}
