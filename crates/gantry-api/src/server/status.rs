//! The one table from errors to gRPC codes.
//!
//! 0.2 classified only raw system errors and called everything else "unknown"; its clients match on texts. Those
//! codes and texts stay (0.2 specification, section 6.4). Requests that 0.2 would have taken and failed on later,
//! such as ids that escape from the state dir, get the code that says so.

use gantry_container::Error as ContainerError;
use gantry_record::Error as RecordError;
use gantry_supervisor::Error;
use std::io;
use tonic::{Code, Status};

/// The status of a failed request.
pub(crate) fn status(error: &Error) -> Status {
    let code = match error {
        Error::Container(error) => container_code(error),
        Error::EventLog { source, .. } => io_code(source),
        Error::EventLogWaits { source, .. } => match io_code(source) {
            Code::ResourceExhausted => Code::ResourceExhausted,
            _ => Code::Unavailable,
        },
        Error::Subscription(_) => Code::Unknown,
    };
    Status::new(code, error.to_string())
}

fn container_code(error: &ContainerError) -> Code {
    match error {
        ContainerError::Record(error) => record_code(error),
        ContainerError::BundleIo { source, .. } | ContainerError::Process { source, .. } => io_code(source),
        ContainerError::Bundle { .. } | ContainerError::LogTarget(_) => Code::InvalidArgument,
        ContainerError::Cancelled => Code::Cancelled,
        ContainerError::ShimSpawn { source, .. } if gantry_record::is_exhaustion(source) => {
            Code::ResourceExhausted
        }
        ContainerError::NoShim | ContainerError::HandoverUnderWay | ContainerError::HandoverRefused => {
            Code::FailedPrecondition
        }
        ContainerError::ContainerNotFound(_)
        | ContainerError::ProcessNotFound { .. }
        | ContainerError::ContainerExited(_)
        | ContainerError::Invalid(_)
        | ContainerError::ShimNotInstalled(_)
        | ContainerError::ShimSpawn { .. }
        | ContainerError::Shim(_)
        | ContainerError::Runtime(_)
        | ContainerError::RuntimeCommand(_)
        | ContainerError::NotStarted
        | ContainerError::Update(_)
        | ContainerError::ShimExited
        | ContainerError::StartTimeout(_)
        | ContainerError::NoSuchProcess
        | ContainerError::InvalidSignal(_) => Code::Unknown,
    }
}

fn record_code(error: &RecordError) -> Code {
    match error {
        RecordError::Io { source, .. } => io_code(source),
        RecordError::InvalidId { .. } => Code::InvalidArgument,
        RecordError::Damaged { .. } => Code::DataLoss,
        RecordError::Untrusted { .. } => Code::FailedPrecondition,
    }
}

fn io_code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Code::AlreadyExists,
        io::ErrorKind::NotFound => Code::NotFound,
        io::ErrorKind::PermissionDenied => Code::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem => Code::FailedPrecondition,
        _ if gantry_record::is_exhaustion(error) => Code::ResourceExhausted,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: impl Into<Error>) -> (Code, String) {
        let status = status(&error.into());
        (status.code(), status.message().to_owned())
    }

    #[test]
    fn texts_that_old_clients_match_keep_code_and_words() {
        let not_found = ContainerError::ContainerNotFound("x".to_owned());
        assert_eq!(of(not_found), (Code::Unknown, "containerd: container not found".to_owned()));
        let exists = RecordError::io("mkdir", "/s/a", io::Error::from_raw_os_error(17));
        assert_eq!(of(exists), (Code::AlreadyExists, "mkdir /s/a: file exists".to_owned()));
        assert_eq!(of(ContainerError::NoSuchProcess), (Code::Unknown, "no such process".to_owned()));
    }

    #[test]
    fn what_has_run_out_has_a_code_of_its_own() {
        let full = || io::Error::from_raw_os_error(28);
        let record = RecordError::io("write", "/s/a", full());
        assert_eq!(of(record), (Code::ResourceExhausted, "write /s/a: no space left on device".to_owned()));
        let waits = |source| Error::EventLogWaits {
            path: "/s/events.log".into(),
            source: std::sync::Arc::new(source),
        };
        assert_eq!(of(waits(full())).0, Code::ResourceExhausted);
        assert_eq!(of(waits(io::Error::from_raw_os_error(5))).0, Code::Unavailable);
        let source = io::Error::from_raw_os_error(24);
        assert_eq!(of(ContainerError::ShimSpawn { shim: "s".to_owned(), source }).0, Code::ResourceExhausted);
    }

    #[test]
    fn a_bad_id_is_the_clients_fault() {
        let error = gantry_record::ContainerId::new("../x").unwrap_err();
        assert_eq!(of(error).0, Code::InvalidArgument);
    }
}
