//! User and group ids of a container by the host's count.

use oci_spec::runtime::{LinuxIdMapping, Spec};

/// What an id inside a user namespace is outside of it. None if it is not mapped.
pub(crate) fn on_host(id: u32, mappings: &Option<Vec<LinuxIdMapping>>) -> Option<u32> {
    mappings.iter().flatten().find_map(|mapping| {
        let offset = id.checked_sub(mapping.container_id()).filter(|offset| *offset < mapping.size())?;
        mapping.host_id().checked_add(offset)
    })
}

/// Who the process of a configuration is on the host.
pub(crate) fn user_on_host(spec: &Spec) -> u32 {
    let uid = spec.process().as_ref().map_or(0, |process| process.user().uid());
    let mapped = spec.linux().as_ref().and_then(|linux| on_host(uid, linux.uid_mappings()));
    mapped.unwrap_or(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_by_ranges() {
        let json = r#"[{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 9}]"#;
        let mappings = Some(serde_json::from_str(json).unwrap());
        assert_eq!(on_host(0, &mappings), Some(1000));
        assert_eq!(on_host(9, &mappings), Some(100_008));
        assert_eq!(on_host(10, &mappings), None);
        assert_eq!(on_host(0, &None), None);
    }
}
