//! From the supervisor's views to the wire's messages and from requests to what they mean.

use crate::types;
use gantry_container::{ExecSpec, Rlimit, Stdio};
use gantry_oci::Runtime;
use gantry_record::ProcessRecord;
use gantry_supervisor::machine::machine;
use gantry_supervisor::{ContainerView, CreateRequest, ProcessView};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tracing::warn;

pub(crate) fn create_request(request: types::CreateContainerRequest) -> CreateRequest {
    let checkpoint = checkpoint_folder(&request.bundle_path, &request.checkpoint, &request.checkpoint_dir);
    let runtime = (!request.runtime.is_empty()).then(|| Runtime::new(request.runtime, request.runtime_args));
    CreateRequest {
        id: request.id,
        bundle: request.bundle_path,
        stdio: Stdio { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr },
        labels: request.labels,
        runtime,
        no_pivot_root: request.no_pivot_root,
        checkpoint,
    }
}

/// Where a checkpoint of this name is; by default inside the bundle.
fn checkpoint_folder(bundle: &str, name: &str, folder: &str) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    let folder = if folder.is_empty() { Path::new(bundle).join("checkpoints") } else { folder.into() };
    Some(folder.join(name))
}

pub(crate) fn exec_spec(request: types::AddProcessRequest) -> ExecSpec {
    // 0.2 crashed without a user; root is what every client of it means then.
    let user = request.user.unwrap_or_default();
    let rlimit = |limit: types::Rlimit| Rlimit { kind: limit.r#type, soft: limit.soft, hard: limit.hard };
    ExecSpec {
        terminal: request.terminal,
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids,
        args: request.args,
        env: request.env,
        cwd: request.cwd,
        capabilities: request.capabilities,
        apparmor_profile: request.apparmor_profile,
        selinux_label: request.selinux_label,
        no_new_privileges: request.no_new_privileges,
        rlimits: request.rlimits.into_iter().map(rlimit).collect(),
        stdio: Stdio { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr },
    }
}

pub(crate) fn state_response(containers: impl IntoIterator<Item = ContainerView>) -> types::StateResponse {
    let machine = machine();
    types::StateResponse {
        containers: containers.into_iter().map(container).collect(),
        machine: Some(types::Machine { cpus: machine.cpus, memory: machine.memory_mib }),
    }
}

pub(crate) fn container(view: ContainerView) -> types::Container {
    types::Container {
        id: view.id.to_string(),
        processes: view.processes.iter().map(process).collect(),
        status: view.status.as_str().to_owned(),
        bundle_path: view.bundle,
        labels: view.labels,
        pids: view.pids,
        runtime: view.runtime,
    }
}

/// The part of an OCI process object that the wire shows.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Shown {
    terminal: bool,
    user: User,
    args: Vec<String>,
    env: Vec<String>,
    cwd: String,
    capabilities: Value,
    apparmor_profile: String,
    selinux_label: String,
    no_new_privileges: bool,
    rlimits: Vec<Limit>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct User {
    uid: u32,
    gid: u32,
    additional_gids: Vec<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Limit {
    r#type: String,
    soft: u64,
    hard: u64,
}

fn process(view: &ProcessView) -> types::Process {
    let path = Path::new(gantry_record::layout::name::PROCESS);
    let record = ProcessRecord::from_json(path, &view.record).unwrap_or_else(|error| {
        warn!(process = %view.id, %error, "a process's record cannot be shown");
        ProcessRecord::default()
    });
    let shown = Shown::deserialize(Value::Object(record.process)).unwrap_or_default();
    types::Process {
        pid: view.id.to_string(),
        system_pid: u32::try_from(view.identity.pid).unwrap_or_default(),
        stdin: record.stdin,
        stdout: record.stdout,
        stderr: record.stderr,
        terminal: shown.terminal,
        user: Some(types::User {
            uid: shown.user.uid,
            gid: shown.user.gid,
            additional_gids: shown.user.additional_gids,
        }),
        args: shown.args,
        env: shown.env,
        cwd: shown.cwd,
        capabilities: effective(&shown.capabilities),
        apparmor_profile: shown.apparmor_profile,
        selinux_label: shown.selinux_label,
        no_new_privileges: shown.no_new_privileges,
        rlimits: shown
            .rlimits
            .into_iter()
            .map(|limit| types::Rlimit { r#type: limit.r#type, soft: limit.soft, hard: limit.hard })
            .collect(),
    }
}

/// The effective set; in the flat form of old bundles there is only one.
fn effective(capabilities: &Value) -> Vec<String> {
    let set = if capabilities.is_array() { capabilities } else { &capabilities["effective"] };
    set.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_checkpoint_lives_in_the_bundle_unless_told_otherwise() {
        let of = |name, folder| checkpoint_folder("/b", name, folder).map(|p| p.display().to_string());
        assert_eq!(of("", "/c"), None);
        assert_eq!(of("one", "").as_deref(), Some("/b/checkpoints/one"));
        assert_eq!(of("one", "/c").as_deref(), Some("/c/one"));
    }

    #[test]
    fn both_forms_of_capabilities_are_shown() {
        assert_eq!(effective(&json!(["CAP_KILL"])), ["CAP_KILL"]);
        assert_eq!(effective(&json!({ "effective": ["CAP_KILL"], "bounding": [] })), ["CAP_KILL"]);
        assert!(effective(&Value::Null).is_empty());
    }

    #[test]
    fn an_exec_without_a_user_is_roots() {
        let spec = exec_spec(types::AddProcessRequest { args: vec!["id".to_owned()], ..Default::default() });
        assert_eq!((spec.uid, spec.gid), (0, 0));
    }
}
