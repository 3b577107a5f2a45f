# Sourced by scripts that run containers through the client. It puts them below a cgroup `gantry`, which outlives them, as
# the parent that runtimes make always does. A script that did not find it at its start takes it away at its end.
# shellcheck shell=bash

gantry_cgroups() { find /sys/fs/cgroup -mindepth 1 -type d -name gantry 2>/dev/null | sort || true; }

# Removes the ones that are not in the list given, unless somebody else has a container in them by now: then the kernel refuses.
remove_gantry_cgroups_except() {
    local cgroup
    comm -13 <(echo "$1") <(gantry_cgroups) | while read -r cgroup; do
        rmdir "$cgroup" 2>/dev/null || true
    done
}
