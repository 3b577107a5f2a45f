//! `update`: other resource limits for a container, from JSON or flags.

use gantry_record::failpoint;
use std::io::Read;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value};

use crate::args::Update;
use crate::bundle;
use crate::error::{Error, Result, file};
use crate::exit_code::ExitCode;
use crate::legacy;
use crate::store::{Status, Store};

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Update) -> Result<ExitCode> {
    let container = store.load(&args.id)?;
    let status = container.status()?;
    if status == Status::Stopped {
        return Err(Error::WrongStatus { action: "update", id: args.id.to_string(), status });
    }
    let (resources, source) = match &args.resources {
        Some(path) => (read(path)?, path.as_path()),
        None => (from_flags(args), Path::new("(flags)")),
    };
    let mut resources = Value::Object(resources);
    legacy::upgrade_resources(&mut resources);
    let resources: LinuxResources =
        serde_json::from_value(resources).map_err(|e| Error::Parse { path: source.to_owned(), source: e })?;
    failpoint::at("runtime::update::read");
    container.cgroup()?.limit(&resources)?;
    failpoint::at("runtime::update::limited");
    Ok(ExitCode::SUCCESS)
}

/// Reads the limits. What is null was not meant to change: clients print every member.
fn read(path: &Path) -> Result<Map<String, Value>> {
    let mut json = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut json).map_err(file("read standard input for", path))?;
    } else {
        json = bundle::read(path)?;
    }
    let mut resources: Map<String, Value> =
        serde_json::from_slice(&json).map_err(|source| Error::Parse { path: path.to_owned(), source })?;
    drop_unset(&mut resources);
    Ok(resources)
}

/// Drops what sets nothing: nulls, empty texts and, so, sections that are empty then.
fn drop_unset(object: &mut Map<String, Value>) {
    object.retain(|_, value| match value {
        Value::Object(inner) => {
            drop_unset(inner);
            !inner.is_empty()
        }
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
}

fn from_flags(args: &Update) -> Map<String, Value> {
    let json = serde_json::json!({
        "memory": {
            "limit": args.memory,
            "swap": args.memory_swap,
            "reservation": args.memory_reservation,
        },
        "cpu": {
            "shares": args.cpu_shares,
            "quota": args.cpu_quota,
            "period": args.cpu_period,
            "cpus": args.cpuset_cpus,
            "mems": args.cpuset_mems,
        },
        "pids": {"limit": args.pids_limit},
        "blockIO": {"weight": args.blkio_weight},
    });
    let mut resources = json.as_object().cloned().unwrap_or_default();
    drop_unset(&mut resources);
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_not_changed() {
        let mut resources: Map<String, Value> = serde_json::from_str(
            r#"{"memory": {"limit": 1, "swap": null}, "cpu": {"cpus": "", "shares": null}, "pids": {"limit": 0}}"#,
        )
        .unwrap();
        drop_unset(&mut resources);
        assert_eq!(
            Value::Object(resources),
            serde_json::json!({"memory": {"limit": 1}, "pids": {"limit": 0}})
        );
    }
}
