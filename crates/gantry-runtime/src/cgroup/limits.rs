//! Resource limits, written by `libcgroups`, which knows the files of both versions and the order they want.

use std::path::PathBuf;

use libcgroups::common::{CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use crate::cgroup::{Cgroup, step, write};
use crate::error::{Error, Result};

impl Cgroup {
    /// Sets what `resources` asks for and leaves the rest as it is. The cgroup must exist.
    pub(crate) fn limit(&self, resources: &LinuxResources) -> Result<()> {
        self.refuse_unsupported(resources)?;
        let mut limits = without_zeroes(resources);
        if has_limits(&limits) {
            self.write_limits(&mut limits)?;
        }
        // Last: libcgroups allows devices of its own choice whenever it writes limits.
        match resources.devices() {
            Some(rules) if !rules.is_empty() => self.allow_devices(rules),
            _ => Ok(()),
        }
    }

    /// Version 2, where there is no scheduler with the weights of version 1: converts as runc and crun do. libcgroups 0.7
    /// does too, but in 16 bits, which the product exceeds.
    fn write_io_weight(&self, resources: &mut LinuxResources) -> Result<()> {
        let Some(block_io) = resources.block_io_mut() else { return Ok(()) };
        let Some(weight) = block_io.weight().filter(|_| self.is_v2()) else { return Ok(()) };
        let Some(dir) = self.any_dir().filter(|dir| !dir.join("io.bfq.weight").exists()) else {
            return Ok(());
        };
        block_io.set_weight(None);
        let file = dir.join("io.weight");
        write(&file, &io_weight(weight).to_string()).map_err(step("set the weight of", file))
    }

    /// What libcgroups would pass over in silence, or write where it should not.
    fn refuse_unsupported(&self, resources: &LinuxResources) -> Result<()> {
        let refuse = |what: String| Err(Error::Unsupported(what));
        if resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty()) {
            return refuse("linux.resources.rdma".to_owned());
        }
        let unified = resources.unified().iter().flatten();
        if let Some((name, _)) = unified.clone().find(|(name, _)| name.contains('/')) {
            return refuse(format!("linux.resources.unified {name:?}: a name with a slash"));
        }
        if !self.is_v2() && unified.count() > 0 {
            return refuse("linux.resources.unified on cgroup version 1".to_owned());
        }
        Ok(())
    }

    fn write_limits(&self, resources: &mut LinuxResources) -> Result<()> {
        let path = PathBuf::from("/").join(&self.path);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::CgroupManager {
            step: "set limits",
            path: path.clone(),
            source,
        };
        let config =
            CgroupConfig { cgroup_path: path.clone(), systemd_cgroup: false, container_name: String::new() };
        let manager = create_cgroup_manager(config).map_err(|e| failed(e.into()))?;
        resources.set_devices(None);
        self.write_io_weight(resources)?;
        let disable_oom_killer =
            resources.memory().as_ref().and_then(LinuxMemory::disable_oom_killer).unwrap_or(false);
        let options =
            ControllerOpt { resources, disable_oom_killer, oom_score_adj: None, freezer_state: None };
        manager.apply(&options).map_err(|e| failed(e.into()))
    }
}

/// From 10..1000 of version 1 to 1..10000 of version 2.
fn io_weight(weight: u16) -> u32 {
    1 + u32::from(weight.saturating_sub(10)) * 9999 / 990
}

/// Drops values that set nothing. Clients print every member, zero where they want no limit, and runc ignores zeros; so
/// it does limits of kernel memory, which kernels since 5.16 refuse.
fn without_zeroes(resources: &LinuxResources) -> LinuxResources {
    let mut resources = resources.clone();
    let set = |number: Option<i64>| number.filter(|n| *n != 0);
    if let Some(old) = resources.memory() {
        let mut memory = LinuxMemory::default();
        memory
            .set_limit(set(old.limit()))
            .set_reservation(set(old.reservation()))
            .set_swap(set(old.swap()))
            .set_kernel_tcp(set(old.kernel_tcp()))
            .set_swappiness(old.swappiness())
            .set_disable_oom_killer(old.disable_oom_killer().filter(|disable| *disable));
        let empty = memory == LinuxMemory::default();
        resources.set_memory((!empty).then_some(memory));
    }
    if let Some(old) = resources.cpu() {
        let mut cpu = old.clone();
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        cpu.set_shares(old.shares().filter(|n| *n != 0))
            .set_quota(set(old.quota()))
            .set_period(old.period().filter(|n| *n != 0))
            .set_realtime_runtime(set(old.realtime_runtime()))
            .set_realtime_period(old.realtime_period().filter(|n| *n != 0))
            .set_cpus(text(old.cpus()))
            .set_mems(text(old.mems()));
        let empty = cpu == LinuxCpu::default();
        resources.set_cpu((!empty).then_some(cpu));
    }
    if resources.pids().is_some_and(|pids| pids.limit() == 0) {
        resources.set_pids(None);
    }
    if let Some(old) = resources.block_io() {
        let mut block_io = old.clone();
        block_io
            .set_weight(old.weight().filter(|n| *n != 0))
            .set_leaf_weight(old.leaf_weight().filter(|n| *n != 0));
        let empty = block_io.weight().is_none()
            && block_io.leaf_weight().is_none()
            && block_io.weight_device().iter().flatten().count() == 0
            && block_io.throttle_read_bps_device().iter().flatten().count() == 0
            && block_io.throttle_write_bps_device().iter().flatten().count() == 0
            && block_io.throttle_read_iops_device().iter().flatten().count() == 0
            && block_io.throttle_write_iops_device().iter().flatten().count() == 0;
        resources.set_block_io((!empty).then_some(block_io));
    }
    if resources.network().as_ref().is_some_and(|network| {
        network.class_id().is_none() && network.priorities().iter().flatten().count() == 0
    }) {
        resources.set_network(None);
    }
    resources
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_span_the_range_of_version_2() {
        assert_eq!([10, 300, 500, 1000].map(io_weight), [1, 2930, 4950, 10_000]);
    }

    #[test]
    fn zeros_are_no_limits() {
        let json = serde_json::json!({
            "memory": {"limit": 0, "swap": 0, "kernel": 5}, "cpu": {"shares": 0, "cpus": ""}, "pids": {"limit": 0},
            "blockIO": {"weight": 0}, "network": {}, "hugepageLimits": []
        });
        let resources: LinuxResources = serde_json::from_value(json).unwrap();
        assert!(!has_limits(&without_zeroes(&resources)));
        let json = serde_json::json!({"memory": {"limit": -1, "swappiness": 0}, "cpu": {"shares": 2}});
        let kept = without_zeroes(&serde_json::from_value(json).unwrap());
        assert_eq!(kept.memory().unwrap().limit(), Some(-1));
        assert_eq!(kept.memory().unwrap().swappiness(), Some(0));
        assert_eq!(kept.cpu().as_ref().unwrap().shares(), Some(2));
    }
}
