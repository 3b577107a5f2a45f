//! Very many processes below one shim, or beside each other.

use super::{daemon, memory_kib};
use crate::support::{Api, SOON, exec_request, host_process, shim_of};
use gantry_testkit::{Leaks, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::thread;

const ORPHANS: usize = 100_000;
const EXECS: usize = 1000;
const CLIENTS: usize = 8;
/// The budget of a process beside its payload, where its shim had to be spawned (docs/architecture.md, "Memory").
const BUDGET_KIB: u64 = 200;

/// The pids of a process's children, zombies too.
fn children(parent: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    list.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn a_flood_of_orphans_is_reaped_in_the_same_memory() {
    let daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    // Without a pid namespace it is the shim to which they fall. Each of the inner shells leaves a hundred.
    let hundred = ": & ".repeat(100);
    let thousand = format!("({hundred}); ").repeat(10);
    let script = format!(
        "read go; i=0; while test $i -lt {}; do {thousand} i=$((i + 1)); echo $i; done; read end; exit 9",
        ORPHANS / 1000
    );
    let bundle = daemon.bundle().shell(&script).without_namespace("pid").build();
    let stdio = super::fifos(&bundle, "init");
    let output = stdio.stdout.lines();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let init = super::run_with(&api, &bundle, &stdio);
    let shim = shim_of(&init);
    let private = || memory_kib(&shim, "Private_Dirty:");
    let before = private();
    stdio.stdin.write("go\n");
    for thousand in 1..=ORPHANS / 1000 {
        assert_eq!(output.next(SOON), Some(thousand.to_string()));
    }
    wait_until("all reaped", SOON, || children(shim.pid) == [init.pid] && children(init.pid).is_empty());
    // A page of the stack may have been touched for the first time, no more.
    let after = private();
    assert!(after <= before + 8, "{before} KiB before, {after} KiB after {ORPHANS} orphans");
    stdio.stdin.write("end\n");
    assert_eq!(events.exit_of(bundle.id(), "init"), 9);
    leaks.assert_clean();
}

#[test]
fn a_thousand_execs_at_once() {
    let daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.run(&bundle);
    let gate = gantry_testkit::Fifo::create(bundle.rootfs().join("gate"));
    let ready = bundle.rootfs().join("ready");
    fs::create_dir(&ready).unwrap();
    let start = |number: usize| {
        // An open of the gate waits until the test comes to it.
        let script = format!("exec <>/gate; : >/ready/{number}; read -n 1 go; exit {}", number % 200);
        exec_request(bundle.id(), &format!("e{number}"), &["sh", "-c", &script])
    };
    let pids: Vec<u32> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (daemon, start) = (&daemon, &start);
                scope.spawn(move || {
                    let api = Api::connect(daemon);
                    let mine = (client..EXECS).step_by(CLIENTS);
                    mine.map(|number| api.add_process(start(number)).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    wait_until("all of them at the gate", 3 * SOON, || fs::read_dir(&ready).unwrap().count() == EXECS);
    assert_eq!(api.find(bundle.id()).unwrap().1.len(), EXECS + 1);
    let total: u64 = pids.iter().map(|pid| memory_kib(&shim_of(&host_process(*pid)), "Pss:")).sum();
    let each = total / EXECS as u64;
    println!("{EXECS} execs at once: {each} KiB PSS a shim");
    assert!(each <= BUDGET_KIB, "{each} KiB for each exec");
    gate.write(&"g".repeat(EXECS));
    let mut exits = BTreeMap::new();
    for _ in 0..EXECS {
        let (id, status) = events.next_exec_exit();
        assert_eq!(exits.insert(id.clone(), status), None, "{id} ended twice");
    }
    for number in 0..EXECS {
        assert_eq!(exits.get(&format!("e{number}")), Some(&u32::try_from(number % 200).unwrap()));
    }
    assert_eq!(api.find(bundle.id()).unwrap().1, ["init"]);
    api.signal(bundle.id(), "init", 9).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    leaks.assert_clean();
}
