//! The limits that `run` starts a container with and `update` changes.

use serde_json::{Value, json};

use crate::quantity::{Bytes, Cpus, Limit, PERIOD_US};

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct LimitArgs {
    /// The most memory that it may use (64m, 2g; -1 for no limit)
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory: Option<Bytes>,

    /// The most processors that it may keep busy (0.5, 2; -1 for no limit)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) cpus: Option<Cpus>,

    /// The most processes and threads that it may have (-1 for no limit)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) pids: Option<Limit>,
}

// === impl LimitArgs ===

impl LimitArgs {
    /// Adds the limits to `linux.resources` of a container's configuration.
    pub(crate) fn apply(self, resources: &mut Value) {
        if let Some(memory) = self.memory {
            resources["memory"] = json!({ "limit": memory.get() });
        }
        if let Some(cpus) = self.cpus {
            resources["cpu"] = json!({ "quota": cpus.quota_us(), "period": PERIOD_US });
        }
        if let Some(pids) = self.pids {
            resources["pids"] = json!({ "limit": pids.get() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_become_the_specification_s_resources() {
        let mut resources = json!({ "devices": [] });
        LimitArgs::default().apply(&mut resources);
        assert_eq!(resources, json!({ "devices": [] }));
        let limits = LimitArgs {
            memory: Some("64m".parse().unwrap()),
            cpus: Some("0.5".parse().unwrap()),
            pids: Some("-1".parse().unwrap()),
        };
        limits.apply(&mut resources);
        let expected = json!({
            "devices": [],
            "memory": { "limit": 64 << 20 },
            "cpu": { "quota": 50_000, "period": 100_000 },
            "pids": { "limit": -1 },
        });
        assert_eq!(resources, expected);
    }
}
