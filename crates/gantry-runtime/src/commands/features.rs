//! `features`: what this runtime can do, in the form of the OCI specification's features structure.

use serde_json::json;

use crate::commands::create::OCI_VERSION;
use crate::commands::print_json;
use crate::error::Result;
use crate::exit_code::ExitCode;

/// Runs the command.
pub(crate) fn run() -> Result<ExitCode> {
    print_json(&json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
        ],
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false},
            "seccomp": {"enabled": cfg!(feature = "seccomp")},
            "apparmor": {"enabled": true},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": false}},
        },
    }))
}
