//! From the supervisor's views to the wire's messages and from requests to what they mean.

use crate::types;
use gantry_container::{Checkpoint, ExecSpec, Resources, Rlimit, Stdio, checkpoint};
use gantry_oci::Runtime;
use gantry_record::ProcessRecord;
use gantry_supervisor::machine::machine;
use gantry_supervisor::{ContainerView, CreateRequest, ProcessView};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tracing::warn;

pub(crate) fn create_request(
    request: types::CreateContainerRequest,
) -> Result<CreateRequest, gantry_container::Error> {
    let checkpoint = match request.checkpoint.as_str() {
        "" => None,
        name => Some(checkpoint::folder(request.bundle_path.as_ref(), &request.checkpoint_dir, name)?),
    };
    let stdio = Stdio { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr };
    stdio.check()?;
    let runtime = (!request.runtime.is_empty()).then(|| Runtime::new(request.runtime, request.runtime_args));
    Ok(CreateRequest {
        id: request.id,
        bundle: request.bundle_path,
        stdio,
        labels: request.labels,
        runtime,
        no_pivot_root: request.no_pivot_root,
        checkpoint,
    })
}

pub(crate) fn exec_spec(request: types::AddProcessRequest) -> Result<ExecSpec, gantry_container::Error> {
    let stdio = Stdio { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr };
    stdio.check()?;
    // 0.2 crashed without a user; root is what every client of it means then.
    let user = request.user.unwrap_or_default();
    let rlimit = |limit: types::Rlimit| Rlimit { kind: limit.r#type, soft: limit.soft, hard: limit.hard };
    Ok(ExecSpec {
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
        stdio,
    })
}

pub(crate) fn resources(wire: types::UpdateResource) -> Resources {
    Resources {
        blkio_weight: wire.blkio_weight,
        cpu_shares: wire.cpu_shares,
        cpu_period: wire.cpu_period,
        cpu_quota: wire.cpu_quota,
        cpuset_cpus: wire.cpuset_cpus,
        cpuset_mems: wire.cpuset_mems,
        memory_limit: wire.memory_limit,
        memory_swap: wire.memory_swap,
        memory_reservation: wire.memory_reservation,
        kernel_memory: wire.kernel_memory_limit,
        kernel_tcp_memory: wire.kernel_tcp_memory_limit,
        pids_limit: wire.pids_limit,
        cpu_realtime_period: wire.cpu_realtime_period,
        cpu_realtime_runtime: wire.cpu_realtime_runtime,
    }
}

pub(crate) fn checkpoint_of(wire: types::Checkpoint) -> Checkpoint {
    Checkpoint {
        created: String::new(),
        name: wire.name,
        tcp: wire.tcp,
        unix_sockets: wire.unix_sockets,
        shell: wire.shell,
        exit: wire.exit,
        empty_namespaces: wire.empty_ns,
    }
}

/// Only these four fields are ever in a list.
pub(crate) fn checkpoint_to_wire(checkpoint: Checkpoint) -> types::Checkpoint {
    types::Checkpoint {
        name: checkpoint.name,
        tcp: checkpoint.tcp,
        unix_sockets: checkpoint.unix_sockets,
        shell: checkpoint.shell,
        ..types::Checkpoint::default()
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

/// See [`crate::server::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(super) fn fuzzing(record: &[u8]) {
    let identity = gantry_container::process::Identity::of(1, None);
    let view = ProcessView { id: gantry_record::ProcessId::init(), identity, record: record.into() };
    assert_eq!((process(&view).pid.as_str(), process(&view).system_pid), (gantry_record::id::INIT, 1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_capabilities_are_shown() {
        assert_eq!(effective(&json!(["CAP_KILL"])), ["CAP_KILL"]);
        assert_eq!(effective(&json!({ "effective": ["CAP_KILL"], "bounding": [] })), ["CAP_KILL"]);
        assert!(effective(&Value::Null).is_empty());
    }

    #[test]
    fn an_exec_without_a_user_is_roots() {
        let spec = exec_spec(types::AddProcessRequest { args: vec!["id".to_owned()], ..Default::default() });
        let spec = spec.unwrap();
        assert_eq!((spec.uid, spec.gid), (0, 0));
    }
}
