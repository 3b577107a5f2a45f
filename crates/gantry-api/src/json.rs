//! How messages print as JSON: what the attributes that `build.rs` adds refer to.
//!
//! The form is the one of `ctr state` and `ctr containers stats`: field names of the `.proto` file, numbers as
//! numbers, zero values left out, a timestamp as its seconds and nanoseconds.

use prost_types::Timestamp;
use serde::Serializer;
use serde::ser::SerializeStruct;

/// Whether a field has the value that is not sent on the wire either.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(crate) fn timestamp<S: Serializer>(value: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    let Timestamp { seconds, nanos } = value.unwrap_or_default();
    let mut object = serializer.serialize_struct("Timestamp", 2)?;
    object.serialize_field("seconds", &seconds)?;
    object.serialize_field("nanos", &nanos)?;
    object.end()
}

#[cfg(test)]
mod tests {
    use crate::types::{CgroupStats, Container, Event, NetworkStats, Process, StatsResponse};
    use serde_json::json;

    #[test]
    fn keys_are_the_field_names_of_the_proto() {
        let container = Container {
            id: "web".into(),
            bundle_path: "/b".into(),
            processes: vec![Process { pid: "init".into(), system_pid: 7, ..Process::default() }],
            ..Container::default()
        };
        let expected =
            json!({"id": "web", "bundlePath": "/b", "processes": [{"pid": "init", "systemPid": 7}]});
        assert_eq!(serde_json::to_value(container).unwrap(), expected);
    }

    #[test]
    fn upstream_s_uneven_spelling_is_kept() {
        let stats = StatsResponse {
            network_stats: vec![NetworkStats { rx_packets: 1, tx_bytes: 2, ..NetworkStats::default() }],
            cgroup_stats: Some(CgroupStats::default()),
            timestamp: None,
        };
        let expected = json!({"network_stats": [{"rx_Packets": 1, "Tx_bytes": 2}], "cgroup_stats": {}});
        assert_eq!(serde_json::to_value(stats).unwrap(), expected);
    }

    #[test]
    fn timestamps_are_seconds_and_nanoseconds() {
        let event =
            Event { timestamp: Some(prost_types::Timestamp { seconds: 5, nanos: 6 }), ..Event::default() };
        assert_eq!(serde_json::to_value(event).unwrap(), json!({"timestamp": {"seconds": 5, "nanos": 6}}));
    }
}
