//! What the tests share: a gRPC client that waits, and one test per runtime.

mod api;
mod disk;
mod engine;
pub(crate) mod old_client;
mod python;
mod stand_in;

pub(crate) use api::{Api, EventKey, Events, create_request, exec_request};
pub(crate) use disk::SmallDisk;
pub(crate) use engine::{
    KILLED, SIGKILL, UNKNOWN, assert_starts_and_exits_match, host_process, shim_of, shown,
    tells_status_of_orphans,
};
pub(crate) use python::{Python, proto_folder, tests_folder};
pub(crate) use stand_in::install;

pub(crate) use gantry_testkit::Random;
use std::time::Duration;

/// How long anything may take that takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A number of the environment, for runs that are longer than those of CI.
pub(crate) fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
        Err(_) => default,
    }
}

/// Makes three tests of each function that takes a `Runtime`.
macro_rules! each_runtime {
    ($($test:ident),+ $(,)?) => {
        each_runtime!(@module builtin, BuiltIn, $($test),+);
        each_runtime!(@module runc, Runc, $($test),+);
        each_runtime!(@module crun, Crun, $($test),+);
    };
    (@module $module:ident, $runtime:ident, $($test:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    super::$test(gantry_testkit::Runtime::$runtime);
                }
            )+
        }
    };
}
pub(crate) use each_runtime;
