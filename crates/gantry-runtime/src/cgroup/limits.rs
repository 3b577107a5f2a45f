//! Resource limits, written by `libcgroups`, which knows the files of both versions and the order they want.

use std::path::PathBuf;

use libcgroups::common::{CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use oci_spec::runtime::{LinuxMemory, LinuxResources};

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};

impl Cgroup {
    /// Sets what `resources` asks for and leaves the rest as it is. The cgroup must exist.
    pub(crate) fn limit(&self, resources: &LinuxResources) -> Result<()> {
        if let Some(rules) = resources.devices()
            && !rules.is_empty()
        {
            self.allow_devices(rules)?;
        }
        if !has_limits(resources) {
            return Ok(());
        }
        let path = PathBuf::from("/").join(&self.path);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::CgroupManager {
            step: "set limits",
            path: path.clone(),
            source,
        };
        let config =
            CgroupConfig { cgroup_path: path.clone(), systemd_cgroup: false, container_name: String::new() };
        let manager = create_cgroup_manager(config).map_err(|e| failed(e.into()))?;
        let mut resources = resources.clone();
        // Device rules are set above; what remains empty makes libcgroups allow the devices that all may use.
        resources.set_devices(None);
        let disable_oom_killer =
            resources.memory().as_ref().and_then(LinuxMemory::disable_oom_killer).unwrap_or(false);
        let options = ControllerOpt {
            resources: &resources,
            disable_oom_killer,
            oom_score_adj: None,
            freezer_state: None,
        };
        manager.apply(&options).map_err(|e| failed(e.into()))
    }
}

/// Whether there is more than device rules, for which [`super::devices`] is enough.
fn has_limits(resources: &LinuxResources) -> bool {
    resources.memory().is_some()
        || resources.cpu().is_some()
        || resources.pids().is_some()
        || resources.block_io().is_some()
        || resources.network().is_some()
        || resources.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())
        || resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty())
        || resources.unified().as_ref().is_some_and(|values| !values.is_empty())
}
