//! How containers ended.
//!
//! Three sources, best first: the daemon's record (`gantry.v1.Containers`), which survives its restarts; what an attached
//! run noted on disk; the exit among the newest events. containerd 0.2 has the last one only.

use crate::bundle::meta::Meta;
use crate::events::Exit;
use crate::signal::Signal;
use crate::when;
use gantry_api::gantry;
use serde::Serialize;

/// What is known of a container that has ended. What nobody could tell is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ended {
    /// 0 to 255; 128 plus the signal's number for one that a signal ended; 255 also for "nobody knows".
    pub(crate) status: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<String>,
    /// Whether the kernel killed in it for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oom_killed: Option<bool>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// Processor time of all its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_nanos: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_memory_bytes: Option<u64>,
    /// The host's pid of its first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

// === impl Ended ===

impl Ended {
    /// The best that the three sources have.
    pub(crate) fn best(record: Option<Self>, meta: Option<&Meta>, event: Option<Exit>) -> Option<Self> {
        let noted = || {
            let exit = meta?.exit.as_ref()?;
            Some(Self { status: exit.status, ended_at: Some(exit.at.clone()), ..Self::default() })
        };
        record.or_else(noted).or_else(|| event.map(Self::from))
    }
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        Self { status: exit.status, ended_at: exit.at.map(when::rfc3339), ..Self::default() }
    }
}

impl From<gantry::Ended> for Ended {
    fn from(wire: gantry::Ended) -> Self {
        let moment =
            |moment: Option<prost_types::Timestamp>| moment.and_then(when::from_wire).map(when::rfc3339);
        let known = |text: String| (!text.is_empty()).then_some(text);
        Self {
            status: wire.status,
            signal: Signal::from_number(wire.signal).map(|signal| signal.to_string()),
            oom_killed: Some(wire.oom_killed),
            started_at: moment(wire.started_at),
            ended_at: moment(wire.ended_at),
            cpu_nanos: wire.cpu_nanos,
            peak_memory_bytes: wire.peak_memory_bytes,
            system_pid: (wire.system_pid != 0).then_some(wire.system_pid),
            bundle: known(wire.bundle_path),
            runtime: known(wire.runtime),
            labels: wire.labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::meta;
    use serde_json::json;

    #[test]
    fn the_record_as_json() {
        let wire = gantry::Ended {
            id: "web".into(),
            status: 137,
            signal: 9,
            oom_killed: true,
            ended_at: Some(prost_types::Timestamp { seconds: 1, nanos: 5 }),
            cpu_nanos: Some(7),
            ..gantry::Ended::default()
        };
        let expected = json!({
            "status": 137, "signal": "SIGKILL", "oomKilled": true,
            "endedAt": "1970-01-01T00:00:01.000000005Z", "cpuNanos": 7,
        });
        assert_eq!(serde_json::to_value(Ended::from(wire)).unwrap(), expected);
    }

    #[test]
    fn the_best_source_wins() {
        let with = |status| Ended { status, ..Ended::default() };
        let exit = meta::Exit { status: 2, at: "t".into() };
        let noted = Meta { exit: Some(exit), ..Meta::sample("web") };
        let silent = Meta::sample("web");
        let event = Some(Exit { status: 3, at: None });
        let status = |record, meta, event| Ended::best(record, meta, event).map(|ended| ended.status);
        assert_eq!(status(Some(with(1)), Some(&noted), event), Some(1));
        assert_eq!(status(None, Some(&noted), event), Some(2));
        assert_eq!(status(None, Some(&silent), event), Some(3));
        assert_eq!(status(None, None, None), None);
    }
}
