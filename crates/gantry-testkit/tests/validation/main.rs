//! Validation of OCI runtimes in the manner of the specification's `runtime-tools`: each property of the runtime
//! specification is set, then read from inside the container, with `gantry-runtime`, runc and crun alike.
//!
//! A row fails where `gantry-runtime` shows something else than both others, and something else than what the
//! specification says where the row knows that. `GANTRY_WRITE_TABLE=1` writes the table into `docs/runtime.md`; any other value is
//! a file for the rows of cgroup version 2, with which scripts/guest.sh does the same.
//!
//! Rows that can live in one container share it ([`rows::Batch`]); where one runtime refuses such a container, its
//! rows are run one by one with that runtime ([`run`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step of a test ends the test, with its reason"
)]

mod cgroup2;
mod groups;
mod rows;
mod run;
mod table;

use gantry_testkit::Runtime;

#[test]
fn every_property_reads_as_with_another_runtime() {
    let table = run::all(groups::all(run::has_filters()));
    for line in &table {
        println!("{line}");
    }
    let failed: Vec<String> = table.iter().filter(|line| !line.passes()).map(ToString::to_string).collect();
    println!("{}", table::summary(&table));
    if run::asks_the_slow_one_only_if_needed() {
        let asked = table.iter().filter(|line| line.answers[1] != run::NOT_ASKED).count();
        println!("runc was asked for {asked} rows, where crun and gantry-runtime disagree");
    }
    match std::env::var("GANTRY_WRITE_TABLE").as_deref() {
        Ok("1") => table::write(&table),
        Ok(path) => std::fs::write(path, table::of_version_2(&table)).unwrap(),
        Err(_) => {}
    }
    assert!(table.len() >= 150, "only {} rows", table.len());
    assert!(
        failed.is_empty(),
        "{} differs from both others:\n{}",
        Runtime::BuiltIn.name(),
        failed.join("\n")
    );
}
