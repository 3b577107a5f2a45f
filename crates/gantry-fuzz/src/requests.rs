//! What comes over sockets.

use gantry_api::server::fuzzing::{Request, connection as filter, request, text};
use gantry_container::bundle::Bundle;
use gantry_record::ProcessRecord;
use serde_json::json;
use std::path::Path;

pub(crate) fn requests(bytes: &[u8]) {
    text(bytes);
    match request(bytes) {
        Some(Request::Exec(spec)) => {
            let config = json!({ "root": { "path": "/" }, "process": { "env": ["PATH=/bin"] } });
            let bundle = Bundle::from_config("/".into(), config).unwrap();
            let mut record = ProcessRecord { exec: true, ..ProcessRecord::of(spec.to_oci(&bundle)) };
            spec.stdio.write_to(&mut record);
            let json = record.to_json();
            assert_eq!(ProcessRecord::from_json(Path::new("process.json"), &json).unwrap(), record);
            // What the runtime is given is the very file.
            let _ = gantry_runtime::fuzzing::exec(&json);
        }
        Some(Request::Update(resources)) => {
            let json = serde_json::to_vec(&resources.to_oci()).unwrap();
            let _ = gantry_runtime::fuzzing::resources(&json);
        }
        None => {}
    }
}

pub(crate) fn connection(bytes: &[u8]) {
    filter(bytes);
}

pub(crate) fn http(bytes: &[u8]) {
    gantry_daemon::fuzzing::http(bytes);
}
