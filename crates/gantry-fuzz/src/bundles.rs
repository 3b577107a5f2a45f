//! A bundle's `config.json`, in the order in which it is read: by the daemon, which makes a record of it, and by the runtime.

use gantry_container::ExecSpec;
use gantry_container::bundle::Bundle;
use gantry_record::ProcessRecord;
use std::path::Path;

pub(crate) fn daemon(bytes: &[u8]) {
    let Ok(config) = serde_json::from_slice(bytes) else { return };
    // Its root has to be there.
    let bundle = match Bundle::from_config("/".into(), config) {
        Ok(bundle) => bundle,
        Err(error) => {
            assert!(
                error.to_string().contains("config.json") || error.to_string().contains("rootfs"),
                "{error}"
            );
            return;
        }
    };
    let (uid, gid) = bundle.root_ids();
    let path = Path::new("process.json");
    let exec = ExecSpec { args: vec!["true".to_owned()], ..ExecSpec::default() };
    let init = ProcessRecord { root_uid: uid, root_gid: gid, ..ProcessRecord::of(bundle.process().clone()) };
    let exec = ProcessRecord { exec: true, ..ProcessRecord::of(exec.to_oci(&bundle)) };
    for record in [init, exec] {
        let again = ProcessRecord::from_json(path, &record.to_json()).unwrap();
        // What a bundle says is never taken for what the daemon says.
        assert_eq!((again.exec, &again.stdin, again.root_uid), (record.exec, &record.stdin, record.root_uid));
        assert_eq!((&again.stdout, &again.stderr), (&record.stdout, &record.stderr));
        assert_eq!((&again.runtime_args, &again.checkpoint), (&record.runtime_args, &record.checkpoint));
    }
}

pub(crate) fn runtime(bytes: &[u8]) {
    gantry_runtime::fuzzing::config(bytes);
    gantry_runtime::fuzzing::exec(bytes);
    gantry_runtime::fuzzing::resources(bytes);
}
