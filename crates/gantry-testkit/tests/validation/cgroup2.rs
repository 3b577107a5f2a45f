//! Rows about cgroups on a machine that has version 2 alone.
//!
//! Each limit is read in the container's own directory, which a cgroup namespace shows at `/sys/fs/cgroup`.

use serde_json::{Value, json};

use crate::groups::{mountinfo, push, simple};
use crate::rows::{Batch, Kind, Row};

/// Whether this machine has version 2 alone.
pub(crate) fn alone() -> bool {
    std::fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok()
}

/// A disk whose use can be limited, as `major:minor`; the guest has one.
fn disk() -> Option<(u64, u64)> {
    let numbers = std::fs::read_to_string("/sys/block/nullb0/dev").ok()?;
    let (major, minor) = numbers.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

pub(crate) fn all() -> Vec<Batch> {
    let mut batches = vec![limits(), devices(), places()];
    batches.extend(apart());
    batches.extend(disk().map(|(major, minor)| disk_limits(major, minor)));
    batches.into_iter().map(with_view).collect()
}

/// Shows the container its cgroup.
fn with_view(mut batch: Batch) -> Batch {
    let mount = json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
    });
    let before = batch.base;
    batch.base = Box::new(move |config: &mut Value| {
        before(config);
        push("/mounts", mount.clone())(config);
        push("/linux/namespaces", json!({"type": "cgroup"}))(config);
    });
    batch
}

fn reads(file: &str) -> String {
    // What is missing is told in its place, and not whenever tr is done.
    format!("cat /sys/fs/cgroup/{file} 2>&1 | tr '\\n' ' '")
}

fn file(pointer: &'static str, value: Value, file: &str) -> Row {
    simple(pointer, value, &reads(file))
}

fn limits() -> Batch {
    let unified = |name: &'static str, value: &'static str| {
        let change = move |config: &mut Value| config["linux"]["resources"]["unified"][name] = json!(value);
        Row::new(format!("linux.resources.unified {name}"), value, reads(name), change)
    };
    let unset = |name: &str| Row::new("linux.resources", "not set", reads(name), |_| {});
    let hugetlb = push("/linux/resources/hugepageLimits", json!({"pageSize": "2MB", "limit": 4 << 20}));
    Batch::inside(
        "Resources (cgroup version 2)",
        vec![
            file("/linux/resources/memory/limit", json!(64 << 20), "memory.max").wants("67108864"),
            file("/linux/resources/memory/reservation", json!(32 << 20), "memory.low").wants("33554432"),
            // Of version 1's number, memory and swap together, swap alone is left.
            file("/linux/resources/memory/swap", json!(96 << 20), "memory.swap.max").wants("33554432"),
            file("/linux/resources/cpu/quota", json!(50_000), "cpu.max"),
            file("/linux/resources/cpu/period", json!(200_000), "cpu.max").wants("50000 200000"),
            file("/linux/resources/cpu/cpus", json!("0"), "cpuset.cpus").wants("0"),
            file("/linux/resources/cpu/mems", json!("0"), "cpuset.mems").wants("0"),
            file("/linux/resources/pids/limit", json!(123), "pids.max").wants("123"),
            Row::new("linux.resources.hugepageLimits", "2MB: 4 MiB", reads("hugetlb.2MB.max"), hugetlb)
                .wants("4194304"),
            unified("memory.high", "50331648").wants("50331648"),
            unified("memory.min", "1048576").wants("1048576"),
            unified("memory.oom.group", "1").wants("1"),
            unified("cgroup.max.depth", "7").wants("7"),
            unified("cgroup.max.descendants", "9").wants("9"),
            unified("hugetlb.1GB.max", "0").wants("0"),
            unset("cgroup.freeze").wants("0"),
            unset("cgroup.type").wants("domain"),
            unset("cgroup.controllers").wants("cpuset cpu io memory hugetlb pids rdma misc"),
            unset("cgroup.subtree_control | wc -c"),
            // What may be reserved too, as today's runc and crun do; those of Debian 12 leave it at `max`.
            Row::new(
                "linux.resources.hugepageLimits",
                "2MB: 4 MiB: reserved",
                reads("hugetlb.2MB.rsvd.max"),
                |_| {},
            )
            .wants("4194304"),
            Row::new("linux.resources.cpu.cpus", "0", "grep ^Cpus_allowed_list /proc/self/status", |_| {}),
        ],
    )
}

/// Limits that others would hide.
fn apart() -> Vec<Batch> {
    let weight = |shares: u64| file("/linux/resources/cpu/shares", json!(shares), "cpu.weight");
    let rows = vec![
        file("/linux/resources/memory/limit", json!(-1), "memory.max memory.swap.max"),
        file("/linux/resources/memory/reservation", json!(-1), "memory.low"),
        file("/linux/resources/memory/swappiness", json!(60), "memory.max"),
        file("/linux/resources/memory/disableOOMKiller", json!(true), "memory.max"),
        file("/linux/resources/memory/disableOOMKiller", json!(false), "memory.max").wants("max"),
        file("/linux/resources/memory/kernelTCP", json!(1 << 24), "memory.max"),
        Row::new("linux.resources.memory.swap", "with no limit", reads("memory.swap.max"), |config| {
            config["linux"]["resources"]["memory"] = json!({"swap": 96 << 20});
        }),
        Row::new("linux.resources.memory.swap", "less than the limit", reads("memory.swap.max"), |config| {
            config["linux"]["resources"]["memory"] = json!({"limit": 96 << 20, "swap": 64 << 20});
        })
        .wants("refused"),
        Row::new("linux.resources.memory.swap", "-1", reads("memory.swap.max"), |config| {
            config["linux"]["resources"]["memory"] = json!({"limit": 96 << 20, "swap": -1});
        })
        .wants("max"),
        // What today's runc (since 1.3.2) and crun (since 1.23) write: 1024, the default of version 1, becomes 100, the
        // default of version 2. Those of Debian 12 write 39 for it.
        weight(1024).wants("100"),
        weight(512).wants("59"),
        weight(2).wants("1"),
        weight(262_144).wants("10000"),
        weight(0).wants("100"),
        file("/linux/resources/cpu/quota", json!(-1), "cpu.max").wants("max 100000"),
        file("/linux/resources/cpu/quota", json!(20_000), "cpu.max").wants("20000 100000"),
        file("/linux/resources/cpu/period", json!(50_000), "cpu.max").wants("max 50000"),
        file("/linux/resources/cpu/burst", json!(0), "cpu.max.burst").wants("0"),
        file("/linux/resources/cpu/idle", json!(1), "cpu.idle").wants("1"),
        file("/linux/resources/cpu/realtimeRuntime", json!(9000), "cpu.max"),
        file("/linux/resources/cpu/cpus", json!("0-1"), "cpuset.cpus").wants("0-1"),
        file("/linux/resources/cpu/cpus", json!("4000"), "cpuset.cpus").wants("refused"),
        file("/linux/resources/pids/limit", json!(-1), "pids.max").wants("max"),
        file("/linux/resources/pids/limit", json!(0), "pids.max"),
        file("/linux/resources/unified", json!({"cpu.weight": "300"}), "cpu.weight").wants("300"),
        file("/linux/resources/unified", json!({"cpu.max": "1000 5000"}), "cpu.max").wants("1000 5000"),
        file("/linux/resources/unified", json!({"none.max": "5"}), "memory.max").wants("refused"),
        file("/linux/resources/unified", json!({"memory.none": "5"}), "memory.max").wants("refused"),
        file("/linux/resources/unified", json!({"memory.max": "x"}), "memory.max").wants("refused"),
        file("/linux/resources/unified", json!({"../cgroup.max.depth": "5"}), "memory.max").wants("refused"),
        file("/linux/resources/hugepageLimits", json!([{"pageSize": "3MB", "limit": 1}]), "memory.max")
            .wants("refused"),
        file("/linux/resources/network", json!({"classID": 5}), "memory.max"),
        file("/linux/resources/rdma", json!({"none0": {"hcaHandles": 3}}), "rdma.max"),
        file("/linux/resources/blockIO/weight", json!(300), "io.weight"),
        file("/linux/resources/blockIO/weight", json!(10), "io.weight"),
        file("/linux/resources/blockIO/weight", json!(1000), "io.weight"),
        file("/linux/resources/blockIO/leafWeight", json!(300), "io.weight"),
    ];
    Batch::apart("Resources (cgroup version 2)", Kind::Inside, rows)
}

fn disk_limits(major: u64, minor: u64) -> Batch {
    let row = |name: &'static str, pointer: &'static str, rate: u64| {
        let entry = json!({"major": major, "minor": minor, "rate": rate});
        let probe = format!("tr ' ' '\\n' < /sys/fs/cgroup/io.max | grep ^{name}=");
        Row::new(
            format!("linux.resources.blockIO.{}", pointer.rsplit('/').next().unwrap_or_default()),
            rate.to_string(),
            probe,
            push(pointer, entry),
        )
    };
    Batch::inside(
        "Resources (cgroup version 2)",
        vec![
            row("rbps", "/linux/resources/blockIO/throttleReadBpsDevice", 1 << 20).wants("rbps=1048576"),
            row("wbps", "/linux/resources/blockIO/throttleWriteBpsDevice", 2 << 20).wants("wbps=2097152"),
            row("riops", "/linux/resources/blockIO/throttleReadIOPSDevice", 50).wants("riops=50"),
            row("wiops", "/linux/resources/blockIO/throttleWriteIOPSDevice", 60).wants("wiops=60"),
        ],
    )
}

/// Device rules, an eBPF program on version 2: what may be opened and made.
fn devices() -> Batch {
    let rule = |title: &str, rule: Value, probe: &str| {
        Row::new("linux.resources.devices", title, probe, push("/linux/resources/devices", rule))
    };
    let kept = |title: &str, probe: &str| Row::new("linux.resources.devices", title, probe, |_| {});
    let try_open = |node: &str| format!("if (: {node}) 2>/dev/null; then echo opens; else echo refused; fi");
    let (read, write) =
        (|name: &str| try_open(&format!("< {name}")), |name: &str| try_open(&format!("> {name}")));
    let kmsg = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"});
    let port = json!({"allow": true, "type": "c", "major": 1, "minor": 4, "access": "rw"});
    let last = json!({"allow": false, "type": "c", "major": 1, "minor": 4, "access": "w"});
    Batch::inside(
        "Devices (cgroup version 2)",
        vec![
            kept("deny all: a new node", "rm -f /d-hpet; mknod /d-hpet c 10 228 && echo made").wants("made"),
            kept("deny all: reading it", &read("/d-hpet")).wants("refused"),
            kept("the defaults: null", &read("/dev/null")).wants("opens"),
            kept("the defaults: zero", &read("/dev/zero")).wants("opens"),
            kept("the defaults: full", &read("/dev/full")).wants("opens"),
            kept("the defaults: random", &read("/dev/random")).wants("opens"),
            kept("the defaults: urandom", &write("/dev/urandom")).wants("opens"),
            kept("the defaults: ptmx", &read("/dev/ptmx")).wants("opens"),
            rule("c 1:11 r", kmsg, &format!("rm -f /d-kmsg; mknod /d-kmsg c 1 11; {}", read("/d-kmsg")))
                .wants("opens"),
            kept("c 1:11 r: writing", &write("/d-kmsg")).wants("refused"),
            rule("c 1:4 rw, then deny w", port, "rm -f /d-port; mknod /d-port c 1 4; echo made")
                .wants("made"),
            rule("deny c 1:4 w", last, &write("/d-port")).wants("refused"),
            kept("deny c 1:4 w: reading", &read("/d-port")).wants("opens"),
            kept("another minor", &format!("rm -f /d-mem; mknod /d-mem c 1 1; {}", read("/d-mem")))
                .wants("refused"),
            kept("another type", &format!("rm -f /d-block; mknod /d-block b 1 11; {}", read("/d-block")))
                .wants("refused"),
        ],
    )
    .with(|config: &mut Value| {
        let caps = json!(["CAP_MKNOD", "CAP_SYSLOG", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE"]);
        config["process"]["capabilities"] = json!({"bounding": caps, "permitted": caps, "effective": caps});
    })
}

/// Where the container is, and what it sees of it.
fn places() -> Batch {
    let row = |property: &str, title: &str, probe: &str| Row::new(property, title, probe, |_| {});
    Batch::inside(
        "Cgroup (version 2)",
        vec![
            row("linux.cgroupsPath", "seen from inside", "cat /proc/self/cgroup").wants("0::/"),
            row("mounts cgroup", "ro", &mountinfo("/sys/fs/cgroup")),
            row("mounts cgroup", "ro: type", "awk '$2 == \"/sys/fs/cgroup\" { print $3 }' /proc/mounts")
                .wants("cgroup2"),
            row("mounts cgroup", "ro: who is in it", "grep -c '^1$' /sys/fs/cgroup/cgroup.procs").wants("1"),
            row("mounts cgroup", "ro: writing", "mkdir /sys/fs/cgroup/x || true"),
            row("mounts cgroup", "ro: a limit", "echo 5 > /sys/fs/cgroup/pids.max || true"),
            Row::new(
                "mounts cgroup",
                "rw: below it",
                "mount -o remount,rw /sys/fs/cgroup 2>&1 || true; cat /proc/self/mountinfo | grep -c ' /sys/fs/cgroup '",
                |_| {},
            ),
        ],
    )
}

/// Without a cgroup namespace.
pub(crate) fn without_a_namespace() -> Vec<Batch> {
    let mount = json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"],
    });
    Batch::apart(
        "Cgroup (version 2)",
        Kind::Inside,
        vec![
            Row::new("linux.cgroupsPath", "/CGROUP/c0", "cat /proc/self/cgroup", |_| {}),
            Row::new(
                "mounts cgroup",
                "no namespace",
                "ls /sys/fs/cgroup/cgroup.procs",
                push("/mounts", mount),
            ),
            Row::new("linux.cgroupsPath", "none", "cut -d : -f 1 /proc/self/cgroup", |config| {
                // Not empty: crun 1.8.1 takes that for the root of all cgroups, and kills whatever is in there.
                config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
            }),
        ],
    )
}
