//! Starting from a checkpoint: what its `config.json` says becomes the runtime's flags.

use crate::error::{Error, Result};
use crate::runtime::Driver;
use gantry_oci::{Create, Restore};
use gantry_record::atomic;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// The part of a checkpoint's description that matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Checkpoint {
    tcp: bool,
    unix_sockets: bool,
    shell: bool,
    #[serde(rename = "emptyNS")]
    empty_namespaces: Option<Vec<String>>,
}

/// The command that restores the checkpoint in folder `path`.
pub(super) fn command(driver: &Driver, create: Create<'_>, path: &Path) -> Result<Command> {
    let description = path.join("config.json");
    let checkpoint: Checkpoint = serde_json::from_slice(&atomic::read(&description)?)
        .map_err(|source| Error::Checkpoint { path: description, source })?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let work_path = path.join("criu.work").join(format!("restore-{}", rfc3339(now)));
    let flags = checkpoint.flags();
    let how = Restore { create, image_path: path, work_path: &work_path, flags: &flags };
    Ok(driver.runtime().restore(driver.id(), &how))
}

impl Checkpoint {
    fn flags(&self) -> Vec<String> {
        let switches = [
            (self.shell, "--shell-job"),
            (self.tcp, "--tcp-established"),
            (self.unix_sockets, "--ext-unix-sk"),
        ];
        let mut flags: Vec<String> =
            switches.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()).collect();
        for namespace in self.empty_namespaces.iter().flatten() {
            flags.extend(["--empty-ns".to_owned(), namespace.clone()]);
        }
        flags
    }
}

/// A time since the epoch as RFC 3339 in UTC with nanoseconds. The days are turned into a date with years that
/// begin in March, so that the leap day is a year's last.
fn rfc3339(since_epoch: Duration) -> String {
    const DAYS_TO_MARCH_OF_YEAR_0: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let seconds = since_epoch.as_secs();
    let days = seconds / 86_400 + DAYS_TO_MARCH_OF_YEAR_0;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day + 2) / 153;
    let day = day - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let nanos = since_epoch.subsec_nanos();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(Duration::new(951_827_696, 5)), "2000-02-29T12:34:56.000000005Z");
        assert_eq!(rfc3339(Duration::from_secs(1_735_689_599)), "2024-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn flags_come_in_the_order_of_the_specification() {
        let json = br#"{"name":"x","tcp":true,"unixSockets":true,"shell":true,"emptyNS":["network"]}"#;
        let checkpoint: Checkpoint = serde_json::from_slice(json).unwrap();
        let expected = ["--shell-job", "--tcp-established", "--ext-unix-sk", "--empty-ns", "network"];
        assert_eq!(checkpoint.flags(), expected);
        let checkpoint: Checkpoint = serde_json::from_slice(br#"{"emptyNS":null}"#).unwrap();
        assert!(checkpoint.flags().is_empty());
    }
}
