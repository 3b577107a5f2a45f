//! The configuration file: TOML, one `name = value` for each setting, named as its flag.

use super::setting::{Origin, Setting};
use crate::error::Error;
use std::io;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// More is no configuration.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the text of a file.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::ConfigRead { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_BYTES {
        return Err(failed(io::Error::other("it is too big to be a configuration")));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Reads the text of a file that may be missing.
pub(super) fn read_optional(path: &Path) -> Result<Option<String>, Error> {
    match read(path) {
        Err(Error::ConfigRead { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Reads the settings in `text`; whether there are such settings is for others to say.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, Error> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        Error::ConfigSyntax {
            place: format!("{}:{line}", path.display()),
            reason: error.message().to_owned(),
        }
    })?;
    let mut settings: Vec<(usize, Setting)> = Vec::new();
    for (key, value) in table.get_ref() {
        let start = key.span().start;
        let line = line_of(text, start);
        let name = key.get_ref().to_string();
        let values = values(value.get_ref()).ok_or_else(|| Error::ConfigValue {
            place: format!("{}:{line}: {name}", path.display()),
            reason: "it takes a string, a number, true, false or a list of those, and there are no sections"
                .to_owned(),
        })?;
        settings.push((start, Setting { name, values, origin: Origin::File(path.to_owned(), line) }));
    }
    // In the order of the file, so that the first mistake is told first.
    settings.sort_by_key(|(start, _)| *start);
    Ok(settings.into_iter().map(|(_, setting)| setting).collect())
}

fn values(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(list) => list.iter().map(|value| text(value.get_ref())).collect(),
        value => text(value).map(|text| vec![text]),
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String, usize)>, String> {
        let settings = parse(Path::new("f"), text).map_err(|error| error.to_string())?;
        let plain = settings.into_iter().map(|setting| match setting.origin {
            Origin::File(_, line) => (setting.name, setting.values.join(" "), line),
            Origin::Environment(_) => unreachable!(),
        });
        Ok(plain.collect())
    }

    #[test]
    fn every_plain_value_is_text() {
        let text = "# c\nz = \"a b\"\n\na = 7\nb = true\nc = ['x', 2]\nd = 0x10\n";
        let expected = [("z", "a b", 2), ("a", "7", 4), ("b", "true", 5), ("c", "x 2", 6), ("d", "16", 7)];
        let expected = expected.map(|(name, value, line)| (name.to_owned(), value.to_owned(), line));
        assert_eq!(parsed(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_setting_is_told_with_its_line() {
        assert!(parsed("a = 1\n[section]\nb = 2\n").unwrap_err().contains("f:2: section: "));
        assert!(parsed("a = 1\nb = \n").unwrap_err().starts_with("f:2: "));
        assert!(parsed("a = 1\na = 2\n").unwrap_err().starts_with("f:2: "));
    }
}
