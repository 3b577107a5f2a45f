//! Random operations on twenty containers at once, daemon and shims killed in between, and a model beside them: states
//! and events agree at each step, and nothing is left at the end.
//!
//! `GANTRY_RANDOM_OPS` says how many operations, `GANTRY_RANDOM_SEED` which ones. [`operation`] is what can be done to
//! one container, [`model`] what must come of it, [`world`] daemon, events and containers together.

mod model;
mod operation;
mod world;

use crate::support::{Random, from_environment, tells_status_of_orphans};
use std::time::Instant;
use world::World;

/// Enough to meet each kind of operation in each state; a run of 10,000 is for a machine that is not waited for.
const OPERATIONS: usize = 600;

#[test]
fn random_operations_agree_with_a_model() {
    agree(OPERATIONS, false);
}

/// As before, but a process whose shim is killed gets a new one.
#[test]
fn random_operations_agree_with_a_model_where_processes_outlive_shims() {
    if !tells_status_of_orphans() {
        println!("skipped: how an adopted process ended is told since Linux 6.15");
        return;
    }
    agree(OPERATIONS / 4, true);
}

fn agree(operations: usize, adopts: bool) {
    let operations = from_environment("GANTRY_RANDOM_OPS", operations);
    let seed = from_environment("GANTRY_RANDOM_SEED", 1);
    println!("GANTRY_RANDOM_SEED={seed} GANTRY_RANDOM_OPS={operations}");
    let begun = Instant::now();
    let mut world = World::new(Random::new(seed), adopts);
    while world.performed() < operations {
        world.step();
    }
    let summary = world.end();
    println!("{operations} operations in {:.1} s", begun.elapsed().as_secs_f32());
    println!("{summary}");
}
