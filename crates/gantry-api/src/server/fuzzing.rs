//! What fuzz targets do with what comes from clients. Each function takes anything and panics where a promise is broken.
#![allow(clippy::unwrap_used, reason = "a panic is how a fuzz target says that it has found something")]

use super::{authority, convert, events, messages, status};
use crate::{gantry, types};
use gantry_container::{ExecSpec, Resources};
use prost::Message;

/// What a request came to that goes on into the daemon.
#[derive(Debug)]
pub enum Request {
    /// `AddProcess`.
    Exec(ExecSpec),
    /// `UpdateContainer`.
    Update(Resources),
}

/// A message of a client: the first byte says of which kind, the others are what is on the wire.
#[must_use]
pub fn request(bytes: &[u8]) -> Option<Request> {
    let (kind, wire) = bytes.split_first()?;
    match kind % 16 {
        0 => {
            // What is refused is refused with words, and nothing passes that would leave the checkpoints' folder.
            let created = convert::create_request(decoded(wire)?);
            let created = created.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()?;
            let checkpoint = created.checkpoint.iter().flat_map(|path| path.components().next_back());
            assert!(checkpoint.into_iter().all(|part| matches!(part, std::path::Component::Normal(_))));
        }
        1 => return convert::exec_spec(decoded(wire)?).ok().map(Request::Exec),
        2 => {
            let update: types::UpdateContainerRequest = decoded(wire)?;
            return Some(Request::Update(convert::resources(update.resources?)));
        }
        3 => {
            let checkpoint: types::CreateCheckpointRequest = decoded(wire)?;
            let checkpoint = convert::checkpoint_of(checkpoint.checkpoint?);
            assert!(convert::checkpoint_to_wire(checkpoint.clone()).name == checkpoint.name);
        }
        4 => {
            let wanted: types::EventsRequest = decoded(wire)?;
            if let Ok(Some(since)) = events::since(wanted.timestamp) {
                let (seconds, nanos) = since.to_parts();
                assert_eq!(wanted.timestamp, Some(prost_types::Timestamp { seconds, nanos }));
            }
        }
        5 => drop(decoded::<types::SignalRequest>(wire)),
        6 => drop(decoded::<types::UpdateProcessRequest>(wire)),
        7 => drop(decoded::<types::DeleteCheckpointRequest>(wire)),
        8 => drop(decoded::<types::ListCheckpointRequest>(wire)),
        9 => drop(decoded::<types::StateRequest>(wire)),
        10 => drop(decoded::<types::StatsRequest>(wire)),
        11 => drop(decoded::<types::GetServerVersionRequest>(wire)),
        12 => drop(decoded::<gantry::InspectRequest>(wire)),
        13 => drop(decoded::<gantry::RemoveRequest>(wire)),
        14 => drop(decoded::<gantry::UpgradeShimsRequest>(wire)),
        _ => drop(decoded::<crate::health::HealthCheckRequest>(wire)),
    }
    None
}

/// Decodes, and sees that it is written as it was understood.
fn decoded<M: Message + Default + PartialEq>(wire: &[u8]) -> Option<M> {
    let message = M::decode(wire).ok()?;
    assert!(M::decode(message.encode_to_vec().as_slice()).unwrap() == message);
    Some(message)
}

/// A record as `State` shows it.
pub fn shown(record: &[u8]) {
    convert::fuzzing(record);
}

/// An error's text on its way to a client.
pub fn text(text: &[u8]) {
    messages::fuzzing(text);
    let error = gantry_container::Error::Invalid(String::from_utf8_lossy(text).into_owned());
    assert_eq!(status::status(&error.into()).code(), tonic::Code::Unknown);
}

/// The bytes of a connection, as they come from a client.
pub fn connection(bytes: &[u8]) {
    authority::fuzzing::connection(bytes);
}
