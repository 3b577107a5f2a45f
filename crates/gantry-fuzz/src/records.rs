//! Records on disk, and what passes between the daemon and its helpers.

use crate::in_folder;
use gantry_container::Checkpoint;
use gantry_record::layout::name;
use gantry_record::resident::{MAX_BYTES, Reply, Request};
use gantry_record::{ContainerRecord, Error, ProcessDir, ProcessRecord, Usage, ready};
use serde_json::Value;
use std::path::Path;

pub(crate) fn records(bytes: &[u8]) {
    let path = Path::new("/run/gantry/state/c1/state.json");
    match ContainerRecord::from_json(path, bytes) {
        Ok(record) => {
            assert!(!record.bundle.is_empty());
            assert_eq!(ContainerRecord::from_json(path, &record.to_json()).unwrap(), record);
        }
        Err(error) => is_about(&error, path),
    }
    match ProcessRecord::from_json(path, bytes) {
        Ok(record) => {
            let again = ProcessRecord::from_json(path, &record.to_json()).unwrap();
            assert_eq!(again.terminal(), record.terminal());
            // A fraction may be off by its last digit.
            if !record.process.values().any(has_fraction) {
                assert_eq!(again, record);
            }
        }
        Err(error) => is_about(&error, path),
    }
    if let Ok(usage) = serde_json::from_slice::<Usage>(bytes) {
        assert_eq!(serde_json::from_slice::<Usage>(&serde_json::to_vec(&usage).unwrap()).unwrap(), usage);
    }
    if let Ok(checkpoint) = serde_json::from_slice::<Checkpoint>(bytes) {
        let written = serde_json::to_vec(&checkpoint).unwrap();
        assert_eq!(serde_json::from_slice::<Checkpoint>(&written).unwrap(), checkpoint);
    }
    gantry_api::server::fuzzing::shown(bytes);
}

fn is_about(error: &Error, path: &Path) {
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

pub(crate) fn process_files(bytes: &[u8]) {
    in_folder(|folder| {
        let dir = ProcessDir::new(folder.to_owned());
        for name in [name::PID, name::START_TIME, name::EXIT_STATUS, name::USAGE] {
            std::fs::write(dir.file(name), bytes).unwrap();
        }
        match dir.pid() {
            Ok(pid) => assert!(pid.is_some_and(|pid| pid > 0)),
            Err(error) => is_about(&error, &dir.file(name::PID)),
        }
        if let Some(status) = dir.exit_status().unwrap() {
            assert!(status.get() <= 255);
            dir.write_exit_status(status).unwrap();
            assert_eq!(dir.exit_status().unwrap(), Some(status));
        }
        match dir.start_time() {
            Ok(Some(time)) => {
                dir.write_start_time(time).unwrap();
                assert_eq!(dir.start_time().unwrap(), Some(time));
            }
            Ok(None) => {}
            Err(error) => is_about(&error, &dir.file(name::START_TIME)),
        }
        if let Some(usage) = dir.usage() {
            dir.write_usage(&usage).unwrap();
            assert_eq!(dir.usage(), Some(usage));
        }
    });
}

pub(crate) fn event_log(bytes: &[u8]) {
    gantry_supervisor::fuzzing::event_log(bytes);
}

pub(crate) fn ended_log(bytes: &[u8]) {
    in_folder(|folder| gantry_supervisor::fuzzing::ended_log(folder, bytes));
}

pub(crate) fn control(bytes: &[u8]) {
    gantry_shim::fuzzing::control(bytes);
}

pub(crate) fn resident(bytes: &[u8]) {
    if let Ok((number, request)) = Request::decode(bytes)
        && let Some(packet) = request.encode(number)
    {
        assert!(packet.len() <= MAX_BYTES);
        assert_eq!(Request::decode(&packet).unwrap(), (number, request));
    }
    if let Ok((number, reply)) = Reply::decode(bytes) {
        assert_eq!(reply.encode(number), bytes);
    }
    if let Some(times) = ready::Times::find(&String::from_utf8_lossy(bytes)) {
        assert_eq!(ready::Times::find(&format!("{}{}", ready::HELLO, times.line())), Some(times));
    }
}

pub(crate) fn runtime_record(bytes: &[u8]) {
    gantry_runtime::fuzzing::record(bytes);
}
