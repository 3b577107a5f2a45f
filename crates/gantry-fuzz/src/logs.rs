//! Logs: of shims and runtimes, and of containers.

use crate::in_folder;
use gantry_record::ContainerId;
use gantry_record::container_log::{LogRecord, LogTarget};
use gantry_record::log::{LogEntry, first_error};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};

pub(crate) fn runtime_log(bytes: &[u8]) {
    in_folder(|folder| {
        let path = folder.join("log.json");
        std::fs::write(&path, bytes).unwrap();
        let found = first_error(&path).unwrap();
        // What a shim adds is found, unless something before it cannot be read.
        let whole = [LogEntry::error(String::from_utf8_lossy(bytes)).to_line(), bytes.to_vec()].concat();
        std::fs::write(&path, whole).unwrap();
        assert_eq!(first_error(&path).unwrap().as_deref(), Some(&*String::from_utf8_lossy(bytes)));
        assert!(found.is_none_or(|message| message.len() <= bytes.len()));
    });
    let id = ContainerId::new("c1").unwrap();
    for status in [0, 1 << 8, 9, 0x137f] {
        let output =
            Output { status: ExitStatus::from_raw(status), stdout: bytes.to_vec(), stderr: bytes.to_vec() };
        match gantry_oci::check("state", &id, output) {
            Ok(printed) => assert_eq!((status, printed.as_slice()), (0, bytes)),
            // What is sent to clients is one line, whatever was printed.
            Err(error) => assert!(!error.to_string().contains('\n')),
        }
    }
    gantry_shim::fuzzing::runtime_state(&String::from_utf8_lossy(bytes));
}

pub(crate) fn container_log(bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(record) = LogRecord::parse(line) {
            let header = LogRecord::header(record.time, record.stream, record.partial);
            let written = [header.as_slice(), record.text].concat();
            assert_eq!(LogRecord::parse(&written), Some(record));
        }
        if let Ok(text) = std::str::from_utf8(line)
            && let Ok(Some(target)) = LogTarget::of_stream(text)
        {
            assert!(target.path.is_absolute() && !target.path.as_os_str().as_bytes().contains(&0));
            assert!(target.max_bytes != Some(0) && (1..=100).contains(&target.max_files));
            assert_eq!(target.to_string().parse::<LogTarget>(), Ok(target));
        }
    }
    gantry_cli::fuzzing::log(bytes);
}

/// The first byte chooses the limit of a batch, the others are what is written: as they are, or, so that lines become long,
/// each as often as the next one says.
pub(crate) fn output(bytes: &[u8]) {
    let Some((choice, written)) = bytes.split_first() else { return };
    let limit = match choice >> 1 {
        0 => usize::MAX,
        limit => usize::from(limit) * 500,
    };
    if choice & 1 == 0 {
        return gantry_shim::fuzzing::output(written, limit);
    }
    let runs = written.as_chunks::<2>().0.iter();
    let long = runs.flat_map(|[byte, times]| std::iter::repeat_n(*byte, usize::from(*times) * 137));
    // Two lines of the longest kind are enough.
    gantry_shim::fuzzing::output(&long.take(40_000).collect::<Vec<u8>>(), limit);
}
