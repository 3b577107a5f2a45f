//! A gRPC client in another language, with stubs generated from our `.proto` files at test time.

use crate::support::each_runtime;
use gantry_testkit::{Daemon, DaemonOptions, Leaks, Runtime, finish};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

each_runtime!(the_life_of_a_container_from_python);

/// Importing grpcio and generating stubs takes most of it.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(60);

fn the_life_of_a_container_from_python(runtime: Runtime) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = crate_folder.join("../../.cache/python/bin/python");
    assert!(python.is_file(), "there is no Python with grpcio in .cache/python: run `make setup`");
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().shell("read line; echo got $line; exit 3").build();
    let stubs = daemon.scratch().path().join("stubs");

    let proto = crate_folder.join("../gantry-api/proto");
    let mut generate = Command::new(&python);
    generate.args(["-m", "grpc_tools.protoc"]).arg(format!("-I{}", proto.display()));
    generate
        .arg(format!("--python_out={}", stubs.display()))
        .arg(format!("--grpc_python_out={}", stubs.display()));
    std::fs::create_dir(&stubs).unwrap();
    finish(generate.args(["types.proto", "health.proto"]), PYTHON_TIMEOUT).success();

    let mut client = Command::new(&python);
    client.arg("-B").arg(crate_folder.join("tests/python/lifecycle.py"));
    client
        .arg("--address")
        .arg(daemon.address())
        .arg("--bundle")
        .arg(bundle.path())
        .args(["--id", bundle.id()]);
    let done = finish(client.env("PYTHONPATH", &stubs), PYTHON_TIMEOUT);
    assert!(done.success().ends_with("ok\n"), "{done}");
    leaks.assert_clean();
}
