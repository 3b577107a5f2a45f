//! Hooks of the container's life cycle, run by `libcontainer` with the container's state on their standard input.

use libcontainer::container::{Container as Libcontainer, ContainerStatus, State};
use oci_spec::runtime::Hook;

use crate::error::{Error, Result};
use crate::store::{Record, Status};

/// Runs the hooks of one kind, in order. The first that fails ends it.
pub(crate) fn run(id: &str, kind: &'static str, hooks: Option<&Vec<Hook>>, state: &State) -> Result<()> {
    if hooks.is_none_or(Vec::is_empty) {
        return Ok(());
    }
    libcontainer::hooks::run_hooks(hooks, Some(state), None, None, None).map_err(|source| Error::Hook {
        id: id.to_owned(),
        hook: kind,
        source: source.into(),
    })
}

/// The state that hooks see, in libcontainer's type.
pub(crate) fn state(record: &Record, status: Status) -> State {
    let status = match status {
        Status::Creating => ContainerStatus::Creating,
        Status::Created => ContainerStatus::Created,
        Status::Running => ContainerStatus::Running,
        Status::Paused => ContainerStatus::Paused,
        Status::Stopped => ContainerStatus::Stopped,
    };
    let pid = (record.pid > 0 && status != ContainerStatus::Stopped).then_some(record.pid);
    let mut state = State::new(&record.id, status, pid, record.bundle.clone());
    state.annotations = Some(record.annotations.clone().into_iter().collect());
    state
}

/// The same as libcontainer's container, which its init process wants.
pub(crate) fn container(record: &Record, status: Status, root: &std::path::Path) -> Libcontainer {
    Libcontainer { state: state(record, status), root: root.to_owned() }
}
