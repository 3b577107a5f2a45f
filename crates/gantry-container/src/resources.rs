//! Changing a container's limits while it runs.

use serde_json::{Map, Value, json};

/// New limits. What is zero or empty stays as it is; 0.2's clients can't say more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Relative weight of block I/O, 10 to 1000.
    pub blkio_weight: u64,
    /// Relative weight of processor time.
    pub cpu_shares: u64,
    /// Length of an enforcement period in microseconds.
    pub cpu_period: u64,
    /// Processor time in each period in microseconds; negative (as two's complement) for no limit.
    pub cpu_quota: u64,
    /// Processors, such as `0-2,4`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Bytes.
    pub memory_limit: u64,
    /// Bytes of memory and swap together.
    pub memory_swap: u64,
    /// Bytes below which memory is not reclaimed first.
    pub memory_reservation: u64,
    /// Bytes of kernel memory, where the kernel still limits it (before Linux 5.15 or so).
    pub kernel_memory: u64,
    /// Bytes of TCP buffers.
    pub kernel_tcp_memory: u64,
    /// Processes.
    pub pids_limit: u64,
    /// Length of a realtime period in microseconds.
    pub cpu_realtime_period: u64,
    /// Realtime processor time in each period in microseconds.
    pub cpu_realtime_runtime: i64,
}

impl Resources {
    /// The OCI resources object for a runtime's `update`. Numbers that the wire has unsigned and the runtime
    /// signed are read as two's complement.
    #[must_use]
    pub fn to_oci(&self) -> Value {
        let mut all = Map::new();
        let mut section = |name: &str, fields: &[(&str, Value)]| {
            let set = |(_, value): &&(&str, Value)| *value != json!(0) && *value != json!("");
            let fields: Map<_, _> =
                fields.iter().filter(set).map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            if !fields.is_empty() {
                all.insert(name.to_owned(), Value::Object(fields));
            }
        };
        section(
            "memory",
            &[
                ("limit", json!(self.memory_limit.cast_signed())),
                ("reservation", json!(self.memory_reservation.cast_signed())),
                ("swap", json!(self.memory_swap.cast_signed())),
                ("kernel", json!(self.kernel_memory.cast_signed())),
                ("kernelTCP", json!(self.kernel_tcp_memory.cast_signed())),
            ],
        );
        section(
            "cpu",
            &[
                ("shares", json!(self.cpu_shares)),
                ("quota", json!(self.cpu_quota.cast_signed())),
                ("period", json!(self.cpu_period)),
                ("realtimePeriod", json!(self.cpu_realtime_period)),
                ("realtimeRuntime", json!(self.cpu_realtime_runtime)),
                ("cpus", json!(self.cpuset_cpus)),
                ("mems", json!(self.cpuset_mems)),
            ],
        );
        section("pids", &[("limit", json!(self.pids_limit.cast_signed()))]);
        // 16 bits, as 0.2 cut it; the second name is the one of runtime-spec before 1.0.
        let weight = self.blkio_weight & 0xffff;
        section("blockIO", &[("weight", json!(weight)), ("blkioWeight", json!(weight))]);
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_said() {
        let resources = Resources {
            memory_limit: 1 << 20,
            cpu_quota: u64::MAX,
            cpuset_cpus: "0".to_owned(),
            blkio_weight: 0x1_0064,
            ..Resources::default()
        };
        let expected = json!({
            "memory": { "limit": 1 << 20 },
            "cpu": { "quota": -1, "cpus": "0" },
            "blockIO": { "weight": 100, "blkioWeight": 100 },
        });
        assert_eq!(resources.to_oci(), expected);
        assert_eq!(Resources::default().to_oci(), json!({}));
    }
}
