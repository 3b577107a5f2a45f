//! What people write: configuration, command lines, single words.

use gantry_record::{ContainerId, ExitStatus, ProcessId, StateDir, timestamp};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

pub(crate) fn config(bytes: &[u8]) {
    // What is not UTF-8 is no TOML, and refused before.
    if let Ok(text) = std::str::from_utf8(bytes) {
        gantry_daemon::fuzzing::config(text);
    }
}

pub(crate) fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    gantry_cli::fuzzing::words(text);
    ids(text);
    times(text);
    if let Some(status) = ExitStatus::parse(text) {
        assert_eq!(ExitStatus::parse(&status.to_string()), Some(status));
        assert!(status.signal().is_none_or(|signal| (1..=64).contains(&signal)));
    }
}

/// Nothing that is an id leaves its folder or reads as an option, and the runtime takes it too.
fn ids(text: &str) {
    let container = ContainerId::new(text);
    assert_eq!(container.is_ok(), ProcessId::new(text).is_ok());
    let runtime_takes_it = gantry_runtime::fuzzing::words(text);
    assert_eq!(container.is_ok(), runtime_takes_it && !text.starts_with('-'));
    match container {
        Ok(id) => {
            let state = StateDir::new("/s");
            let folder = state.container(&id);
            assert_eq!(folder.path().parent(), Some(state.path()));
            assert_eq!(folder.path().file_name().and_then(|name| name.to_str()), Some(text));
            assert!(Path::new(text).components().count() == 1 && text.len() <= 255);
        }
        Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
    }
}

/// Two readers of times and two of spans agree.
fn times(text: &str) {
    if let Some(time) = timestamp::parse(text) {
        let written = timestamp::format(time);
        assert_eq!(timestamp::parse(std::str::from_utf8(&written).unwrap()), Some(time), "{text}");
    }
    if let Some((seconds, nanos)) = gantry_supervisor::fuzzing::timestamp(text)
        && let Some(time) = timestamp::parse(text)
    {
        let same = Duration::new(seconds.try_into().unwrap(), nanos.try_into().unwrap());
        // A leap second is the end of its minute to the one and the beginning of the next to the other.
        assert!(time == same || text.contains(":60"), "{text}");
    }
    if let Some(span) = gantry_daemon::fuzzing::duration(text)
        && let Some(same) = gantry_cli::fuzzing::go_duration(text)
    {
        assert!(span.abs_diff(same) <= Duration::from_secs_f64(1e-6 + span.as_secs_f64() * 1e-9), "{text}");
    }
}

pub(crate) fn command_lines(bytes: &[u8]) {
    let words = || bytes.split(|byte| matches!(byte, b'\n' | 0));
    if let Ok(text) = std::str::from_utf8(bytes) {
        gantry_cli::fuzzing::ctr(&text.split(['\n', '\0']).map(str::to_owned).collect::<Vec<_>>());
    }
    gantry_daemon::fuzzing::command_line(
        &words().map(|word| OsString::from_vec(word.to_vec())).collect::<Vec<_>>(),
    );
}
