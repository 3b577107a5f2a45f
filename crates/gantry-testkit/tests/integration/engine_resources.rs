//! Limits that change while a container runs, what it uses of them, and what happens at the end of its memory.

use crate::support::{Api, KILLED, SIGKILL, SOON, create_request, each_runtime, exec_request};
use gantry_api::types::{CgroupStats, UpdateResource};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, StdioFifos, wait_for, wait_until};
use std::fs;
use std::path::PathBuf;

each_runtime!(
    limits_reach_the_kernel,
    a_limit_that_is_refused_comes_with_the_reason,
    stats_fill_in,
    an_out_of_memory_kill_is_told_before_the_exit,
);

const MIB: u64 = 1 << 20;
/// Little enough to be used up in a moment; with 16 MiB the kernel now and then kills runc's own init on cgroup v2.
const OOM_LIMIT: u64 = 40 * MIB;

/// The container's file of one of these names (cgroup v1, cgroup v2); `None` on a kernel that has neither.
fn cgroup_file(bundle: &Bundle, names: &[&str]) -> Option<PathBuf> {
    let path = bundle.config()["linux"]["cgroupsPath"].as_str().unwrap().trim_start_matches('/');
    let folders = bundle.scratch().cgroup_folders().into_iter().filter(|folder| folder.ends_with(path));
    let mut files = folders.flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    files.find(|file| file.exists())
}

fn limits_reach_the_kernel(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundle = daemon.bundle().args(["sleep", "1000"]).memory_limit_bytes(64 * MIB).pids_limit(20).build();
    let id = bundle.id();
    let api = Api::connect(&daemon);
    api.run(&bundle);
    let expect = |what: UpdateResource, names: &[&str], expected: &[&str]| {
        let Some(file) = cgroup_file(&bundle, names) else {
            println!("{names:?}: this kernel has none of them");
            return;
        };
        api.update(id, what).unwrap();
        let found = fs::read_to_string(&file).unwrap();
        assert!(expected.contains(&found.trim()), "{}: {found:?}, not {expected:?}", file.display());
    };
    let unchanged = UpdateResource::default;
    expect(
        UpdateResource { memory_limit: 128 * MIB, ..unchanged() },
        &["memory.limit_in_bytes", "memory.max"],
        &["134217728"],
    );
    expect(
        UpdateResource { memory_reservation: 32 * MIB, ..unchanged() },
        &["memory.soft_limit_in_bytes", "memory.low"],
        &["33554432"],
    );
    // Memory and swap together in v1, swap alone in v2.
    expect(
        UpdateResource { memory_limit: 128 * MIB, memory_swap: 256 * MIB, ..unchanged() },
        &["memory.memsw.limit_in_bytes", "memory.swap.max"],
        &["268435456", "134217728"],
    );
    // runc 1.1 and crun 1.8 convert to a weight of version 2 as kernel documents of 2019 said; since then it is another way.
    let weights = if runtime == Runtime::BuiltIn { ["512", "59"] } else { ["512", "20"] };
    expect(UpdateResource { cpu_shares: 512, ..unchanged() }, &["cpu.shares", "cpu.weight"], &weights);
    expect(
        UpdateResource { cpu_quota: 25_000, cpu_period: 50_000, ..unchanged() },
        &["cpu.cfs_quota_us", "cpu.max"],
        &["25000", "25000 50000"],
    );
    expect(UpdateResource { cpuset_cpus: "0".to_owned(), ..unchanged() }, &["cpuset.cpus"], &["0"]);
    expect(UpdateResource { cpuset_mems: "0".to_owned(), ..unchanged() }, &["cpuset.mems"], &["0"]);
    expect(UpdateResource { pids_limit: 33, ..unchanged() }, &["pids.max"], &["33"]);
    // On a kernel with the BFQ scheduler's weight alone, crun 1.8 looks for the other one.
    let weights = ["blkio.weight", "io.bfq.weight", "blkio.bfq.weight"];
    let weights = if runtime == Runtime::Crun { &weights[..2] } else { &weights[..] };
    expect(UpdateResource { blkio_weight: 300, ..unchanged() }, weights, &["300", "default 300"]);
    // Zeros and empty texts change nothing, neither all of them nor those beside a change.
    api.update(id, unchanged()).unwrap();
    for (names, expected) in [
        (["memory.limit_in_bytes", "memory.max"], "134217728"),
        (["pids.max", "pids.max"], "33"),
        (["cpu.cfs_quota_us", "cpu.max"], "25000"),
    ] {
        let file = cgroup_file(&bundle, &names).unwrap();
        assert!(fs::read_to_string(&file).unwrap().starts_with(expected), "{}", file.display());
    }
    // An exec is under the same limits.
    let mut events = api.events();
    api.add_process(exec_request(id, "e1", &["true"])).unwrap();
    assert_eq!(events.exit_of(id, "e1"), 0);
    api.signal(id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(id, "init"), KILLED);
    leaks.assert_clean();
}

fn a_limit_that_is_refused_comes_with_the_reason(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    // What lies in /dev/shm cannot be reclaimed.
    let script = "head -c 33554432 /dev/zero >/dev/shm/ballast; echo full; exec sleep 1000";
    let bundle = daemon.bundle().shell(script).memory_limit_bytes(64 * MIB).build();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let api = Api::connect(&daemon);
    let output = stdio.stdout.lines();
    api.create_with(&bundle, &stdio).unwrap();
    assert_eq!(output.next(SOON).as_deref(), Some("full"));

    let cpuset = UpdateResource { cpuset_cpus: "4000".to_owned(), ..Default::default() };
    let error = api.update(bundle.id(), cpuset).unwrap_err();
    assert!(error.message().to_lowercase().contains("cpuset.cpus"), "{error:?}");
    // The kernel's reason, whether as text or as number.
    let reasons = ["invalid argument", "numerical result out of range", "permission denied"];
    let said = error.message().to_lowercase();
    assert!(reasons.iter().any(|reason| said.contains(reason)), "{error:?}");

    if cgroup_file(&bundle, &["memory.limit_in_bytes"]).is_some() {
        let memory = UpdateResource { memory_limit: 8 * MIB, ..Default::default() };
        let error = api.update(bundle.id(), memory).unwrap_err();
        let said = error.message().to_lowercase();
        assert!(
            said.contains("busy") || said.contains("current usage"),
            "less than it uses and cannot give back: {error:?}"
        );
        let file = cgroup_file(&bundle, &["memory.limit_in_bytes"]).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap().trim(), (64 * MIB).to_string());
    } else {
        println!("cgroup v2 takes any memory.max and kills instead: not tried");
    }
    assert_eq!(api.find(bundle.id()).unwrap().0, "running");
    let mut events = api.events();
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    leaks.assert_clean();
}

fn stats_fill_in(runtime: Runtime) {
    let daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let script = "head -c 16777216 /dev/zero >/dev/shm/ballast; while :; do :; done";
    let bundle = daemon.bundle().shell(script).memory_limit_bytes(64 * MIB).pids_limit(20).build();
    let api = Api::connect(&daemon);
    api.run(&bundle);
    api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap();
    let stats = || -> CgroupStats { api.stats(bundle.id()).unwrap().cgroup_stats.expect("cgroup_stats") };
    let cpu = |stats: &CgroupStats| stats.cpu_stats.clone().unwrap().cpu_usage.unwrap();
    let first = wait_for("some memory in use", SOON, || {
        Some(stats()).filter(|stats| stats.memory_stats.clone().unwrap().usage.unwrap().usage >= 16 * MIB)
    });
    wait_until("more processor time used", SOON, || cpu(&stats()).total_usage > cpu(&first).total_usage);
    let answer = api.stats(bundle.id()).unwrap();
    assert!(answer.timestamp.is_some());

    // Clients of 0.2 look into each of these without asking whether it is there.
    let stats = answer.cgroup_stats.unwrap();
    let (cpu, memory) = (stats.cpu_stats.unwrap(), stats.memory_stats.unwrap());
    assert!(cpu.throttling_data.is_some() && stats.blkio_stats.is_some());
    assert!(memory.swap_usage.is_some() && memory.kernel_usage.is_some());
    assert!(cpu.system_usage > cpu.cpu_usage.unwrap().total_usage);
    let usage = memory.usage.unwrap();
    assert_eq!(usage.limit, 64 * MIB);
    assert!(usage.usage >= 16 * MIB && usage.usage <= usage.limit, "{usage:?}");
    assert!(!memory.stats.is_empty());
    let pids = stats.pids_stats.unwrap();
    assert!(pids.current >= 2 && pids.limit == 20, "{pids:?}");

    let mut events = api.events();
    api.signal(bundle.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    assert!(api.stats(bundle.id()).unwrap_err().message().contains("container not found"));
    leaks.assert_clean();
}

fn an_out_of_memory_kill_is_told_before_the_exit(runtime: Runtime) {
    let mut daemon = Daemon::start(DaemonOptions::new(runtime));
    let leaks = Leaks::snapshot(daemon.scratch());
    let grow = "read line; a=0123456789abcdef; while :; do a=$a$a; done";
    let bundle = |daemon: &Daemon| daemon.bundle().shell(grow).memory_limit_bytes(OOM_LIMIT).build();
    let told = |id: &str| {
        let event =
            |kind: &str, process: &str, status| (kind.to_owned(), id.to_owned(), process.to_owned(), status);
        [event("start-container", "", 0), event("oom", "", 0), event("exit", "init", KILLED)]
    };
    let first = bundle(&daemon);
    let stdio = StdioFifos::create(&first.path().join("io"), "init");
    let api = Api::connect(&daemon);
    let mut events = api.events();
    api.create_with(&first, &stdio).unwrap();
    stdio.stdin.write("go\n");
    assert_eq!(events.up_to_exit_of(first.id(), "init"), told(first.id()));
    assert!(api.ended(first.id()).unwrap().oom_killed);
    leaks.assert_clean();

    // The same for a container that was taken up by another daemon.
    let second = bundle(&daemon);
    let stdio = StdioFifos::create(&second.path().join("io"), "init");
    api.create_with(&second, &stdio).unwrap();
    daemon.kill_hard();
    daemon.restart();
    let api = Api::connect(&daemon);
    let mut events = api.events_from_the_start();
    stdio.stdin.write("go\n");
    assert_eq!(events.up_to_exit_of(second.id(), "init")[3..], told(second.id()));
    assert!(api.ended(second.id()).unwrap().oom_killed);

    // An exec that is killed for it is told too, and the container is remembered for it.
    let third = daemon.bundle().args(["sleep", "1000"]).memory_limit_bytes(OOM_LIMIT).build();
    api.create(create_request(&third)).unwrap();
    let exec = exec_request(third.id(), "e1", &["sh", "-c", &grow["read line; ".len()..]]);
    api.add_process(exec).unwrap();
    let keys = events.up_to_exit_of(third.id(), "e1");
    let kinds: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
    assert_eq!(kinds, ["start-container", "start-process", "oom", "exit"]);
    assert_eq!(keys[3].3, KILLED);
    api.signal(third.id(), "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(third.id(), "init"), KILLED);
    assert!(api.ended(third.id()).unwrap().oom_killed);
    leaks.assert_clean();
}
