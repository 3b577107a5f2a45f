//! A gRPC client in another language: Python, with stubs that are generated from our `.proto` files at test time.

use gantry_testkit::{Scratch, finish};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Importing grpcio and generating stubs takes most of it.
const STUBS_TIMEOUT: Duration = Duration::from_secs(60);

/// A folder of this crate's tests.
pub(crate) fn tests_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

/// The folder of the wire's definitions.
pub(crate) fn proto_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../gantry-api/proto")
}

/// Python with grpcio, and generated stubs.
pub(crate) struct Python {
    program: PathBuf,
    stubs: PathBuf,
}

impl Python {
    /// Generates the stubs in `scratch`.
    pub(crate) fn with_stubs(scratch: &Scratch) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/python/bin/python");
        assert!(program.is_file(), "there is no Python with grpcio in .cache/python: run `make setup`");
        let stubs = scratch.path().join("stubs");
        std::fs::create_dir(&stubs).unwrap();
        let mut generate = Command::new(&program);
        generate.args(["-m", "grpc_tools.protoc"]).arg(format!("-I{}", proto_folder().display()));
        generate.arg(format!("--python_out={}", stubs.display()));
        generate.arg(format!("--grpc_python_out={}", stubs.display()));
        finish(generate.args(["types.proto", "health.proto"]), STUBS_TIMEOUT).success();
        Self { program, stubs }
    }

    /// The command that runs a script below `tests/python`; its arguments are still to be added.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-B").arg(tests_folder().join("python").join(name)).env("PYTHONPATH", &self.stubs);
        command
    }
}
