//! Configurations written before the specification's 1.0, and by clients that still think in its terms.
//!
//! Clients of the containerd 0.2 line write runtime-spec 0.5 to 1.0-rc: capabilities as one list, one system call name
//! per seccomp rule, the OOM settings among the resources, and unsigned numbers in which the largest means -1. Such
//! members are rewritten before the configuration is parsed; what is in today's form passes unchanged.

use serde_json::{Map, Value};

/// Parses JSON of either age. `upgrade` rewrites the old form; it runs only if the text does not parse as it is.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    json: &[u8],
    upgrade: fn(&mut Value),
) -> serde_json::Result<T> {
    serde_json::from_slice(json).or_else(|error| {
        let Ok(mut value) = serde_json::from_slice::<Value>(json) else { return Err(error) };
        upgrade(&mut value);
        // If it still fails, the first error is about what the client wrote.
        serde_json::from_value(value).map_err(|_| error)
    })
}

/// Rewrites a whole configuration.
pub(crate) fn upgrade_spec(spec: &mut Value) {
    let resources = spec.pointer_mut("/linux/resources").and_then(Value::as_object_mut);
    let adjustment = resources.and_then(|resources| resources.remove("oomScoreAdj"));
    if let Some(process) = spec.get_mut("process") {
        upgrade_process(process);
        if let Some(adjustment) = adjustment.filter(Value::is_number)
            && let Some(process) = process.as_object_mut()
        {
            process.entry("oomScoreAdj").or_insert(adjustment);
        }
    }
    if let Some(resources) = spec.pointer_mut("/linux/resources") {
        upgrade_resources(resources);
    }
    let rules = spec.pointer_mut("/linux/seccomp/syscalls").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(name) = rule.remove("name") {
            rule.entry("names").or_insert_with(|| Value::Array(vec![name]));
        }
    }
}

/// Rewrites a process.
pub(crate) fn upgrade_process(process: &mut Value) {
    if let Some(capabilities) = process.get_mut("capabilities")
        && capabilities.is_array()
    {
        // Not inheritable: that lets programs with file capabilities gain what nobody gave them (CVE-2022-24769).
        let list = capabilities.take();
        *capabilities = ["bounding", "effective", "permitted"]
            .into_iter()
            .map(|set| (set.to_owned(), list.clone()))
            .collect::<Map<String, Value>>()
            .into();
    }
}

/// Rewrites resource limits.
pub(crate) fn upgrade_resources(resources: &mut Value) {
    let Some(resources) = resources.as_object_mut() else { return };
    if let Some(disable) = resources.remove("disableOOMKiller").filter(Value::is_boolean) {
        let memory = resources.entry("memory").or_insert_with(|| Map::new().into());
        if let Some(memory) = memory.as_object_mut() {
            memory.entry("disableOOMKiller").or_insert(disable);
        }
    }
    for section in ["memory", "cpu", "pids"] {
        for value in
            resources.get_mut(section).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
        {
            // More than a signed number holds is a negative one that was once put into an unsigned one.
            if value.as_i64().is_none() && value.as_u64().is_some() {
                *value = (-1).into();
            }
        }
    }
    if let Some(memory) = resources.get_mut("memory").and_then(Value::as_object_mut)
        && memory.get("swappiness").and_then(Value::as_i64).is_some_and(|swappiness| swappiness < 0)
    {
        memory.remove("swappiness");
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{LinuxResources, Spec};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_of_0_6_is_understood() {
        let old = json!({
            "ociVersion": "0.6.0-dev",
            "platform": {"os": "linux", "arch": "amd64"},
            "process": {
                "user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/",
                "capabilities": ["CAP_CHOWN", "CAP_KILL"]
            },
            "root": {"path": "/r"},
            "linux": {
                "resources": {
                    "disableOOMKiller": true, "oomScoreAdj": -5,
                    "memory": {"limit": 1024, "swap": 18_446_744_073_709_551_615_u64,
                        "swappiness": 18_446_744_073_709_551_615_u64}
                },
                "seccomp": {
                    "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
                    "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW", "args": []}]
                }
            }
        });
        let spec: Spec = parse(old.to_string().as_bytes(), upgrade_spec).unwrap();
        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.oom_score_adj(), Some(-5));
        let capabilities = process.capabilities().as_ref().unwrap();
        assert_eq!(capabilities.effective().as_ref().unwrap().len(), 2);
        assert!(capabilities.inheritable().is_none());
        let linux = spec.linux().as_ref().unwrap();
        let memory = linux.resources().as_ref().unwrap().memory().unwrap();
        assert_eq!((memory.limit(), memory.swap(), memory.swappiness()), (Some(1024), Some(-1), None));
        assert_eq!(memory.disable_oom_killer(), Some(true));
        assert_eq!(linux.seccomp().as_ref().unwrap().syscalls().as_ref().unwrap()[0].names(), &["read"]);
    }

    #[test]
    fn what_is_wrong_in_every_age_is_told_by_the_first_error() {
        let error = parse::<LinuxResources>(b"{\"memory\": 3}", upgrade_resources).unwrap_err();
        assert!(error.to_string().contains("invalid type"), "{error}");
    }
}
