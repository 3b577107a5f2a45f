//! The rows, by subject.

use serde_json::{Value, json};

use crate::cgroup2;
use crate::rows::{Batch, Kind, Row};

/// All of them. Filters are left out for a runtime that was built without them.
pub(crate) fn all(filters: bool) -> Vec<Batch> {
    let mut batches = vec![process(), rlimits()];
    batches.extend(capabilities());
    batches.extend(scheduling());
    batches.extend([tmpfs_options(), bind_options(), mounts(), devices(), paths()]);
    batches.extend(roots());
    batches.push(namespaces());
    batches.extend(other_namespaces());
    batches.extend([user_namespace(), parameters()]);
    if cgroup2::alone() {
        batches.extend(cgroup2::all());
        batches.extend(cgroup2::without_a_namespace());
    } else {
        batches.push(resources());
    }
    batches.push(hooks());
    if filters {
        batches.extend(seccomp());
    }
    batches.extend(refusals());
    batches
}

/// Sets one value by its JSON pointer; objects on the way are made.
fn set(pointer: &'static str, value: Value) -> impl Fn(&mut Value) + Send + Sync + 'static {
    move |config| {
        let mut place = &mut *config;
        for name in pointer.split('/').skip(1) {
            place = &mut place[name];
        }
        *place = value.clone();
    }
}

/// Appends to a list by its JSON pointer.
pub(crate) fn push(pointer: &'static str, value: Value) -> impl Fn(&mut Value) + Send + Sync + 'static {
    move |config| {
        let mut place = &mut *config;
        for name in pointer.split('/').skip(1) {
            place = &mut place[name];
        }
        match place {
            Value::Array(list) => list.push(value.clone()),
            _ => *place = json!([value]),
        }
    }
}

/// A row that sets one value.
pub(crate) fn simple(pointer: &'static str, value: Value, probe: &str) -> Row {
    Row::new(name(pointer), value.to_string(), probe, set(pointer, value))
}

fn name(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn process() -> Batch {
    Batch::inside(
        "Process",
        vec![
            Row::new("process.args", "[\"sh\", \"-c\", ...]", "tr '\\0' ' ' </proc/self/cmdline | cut -c 1-5", |_| {}),
            Row::new("process.env", "+ \"A=1 2\"", "echo \"$A\"", push("/process/env", json!("A=1 2"))).wants("1 2"),
            Row::new("process.env", "nothing else", "env | cut -d = -f 1 | sort | grep -v '^A$'", |_| {}),
            simple("/process/cwd", json!("/usr/bin"), "pwd").wants("/usr/bin"),
            simple("/process/user/additionalGids", json!([5, 77]), "grep ^Groups: /proc/self/status | cut -f 2").wants("5 77"),
            simple("/process/user/gid", json!(12), "grep ^Gid: /proc/self/status"),
            Row::new("process.user.uid", "0", "grep ^Uid: /proc/self/status", |_| {}),
            simple("/process/user/umask", json!(0o27), "umask").wants("0027"),
            simple("/process/oomScoreAdj", json!(321), "cat /proc/self/oom_score_adj").wants("321"),
            simple("/process/noNewPrivileges", json!(true), "grep ^NoNewPrivs: /proc/self/status | cut -f 2").wants("1"),
            Row::new("process.terminal", "false", "test -t 0 && echo terminal || echo none", |_| {}).wants("none"),
            Row::new("(session)", "", "test \"$(cut -d ' ' -f 6 /proc/self/stat)\" = 1 && echo own", |_| {}).wants("own"),
            Row::new("(pid)", "", "echo $$", |_| {}).wants("1"),
            Row::new("(signals)", "", "grep -E '^Sig(Ign|Blk)' /proc/self/status | cut -f 2", |_| {}).wants("0000000000000000; 0000000000000000"),
            Row::new("(descriptors)", "", "all=; for n in 0 1 2 3 4 5 6 7 8 9 11 12 13; do [ -e /proc/$$/fd/$n ] && all=\"$all $n\"; done; echo $all", |_| {}).wants("0 1 2"),
            Row::new("(dumpable)", "", "stat -c %u /proc/self/environ", |_| {}),
            simple("/hostname", json!("the-host"), "hostname").wants("the-host"),
            simple("/domainname", json!("the.domain"), "cat /proc/sys/kernel/domainname").wants("the.domain"),
            Row::new("annotations", "{\"a\": \"b\"}", "echo runs", set("/annotations", json!({"a": "b"}))),
        ],
    )
}

fn rlimits() -> Batch {
    let kinds = [
        ("AS", "Max address space", 1_u64 << 40),
        ("CORE", "Max core file size", 0),
        ("CPU", "Max cpu time", 1000),
        ("DATA", "Max data size", 1 << 34),
        ("FSIZE", "Max file size", 1 << 30),
        ("LOCKS", "Max file locks", 77),
        ("MEMLOCK", "Max locked memory", 1 << 20),
        ("MSGQUEUE", "Max msgqueue size", 4096),
        ("NICE", "Max nice priority", 5),
        ("NOFILE", "Max open files", 512),
        ("NPROC", "Max processes", 4321),
        ("RSS", "Max resident set", 1 << 33),
        ("RTPRIO", "Max realtime priority", 3),
        ("RTTIME", "Max realtime timeout", 5000),
        ("SIGPENDING", "Max pending signals", 99),
        ("STACK", "Max stack size", 1 << 23),
    ];
    let row = |(kind, line, hard): (&str, &str, u64)| {
        let limit = json!({"type": format!("RLIMIT_{kind}"), "soft": hard / 2, "hard": hard});
        let value = format!("{} : {hard}", hard / 2);
        let probe = format!("grep '^{line}' /proc/self/limits | tr -s ' '");
        Row::new(format!("process.rlimits RLIMIT_{kind}"), value, probe, push("/process/rlimits", limit))
    };
    Batch::inside("Resource limits of the process", kinds.map(row).into())
        .with(set("/process/rlimits", json!([])))
}

fn capabilities() -> Vec<Batch> {
    let sets = ["Inh", "Prm", "Eff", "Bnd", "Amb"];
    let read = move |title: &str, config: fn(&mut Value)| {
        let row = |name: &str| {
            let probe = format!("grep ^Cap{name}: /proc/self/status | cut -f 2");
            Row::new(format!("process.capabilities ({title})"), format!("Cap{name}"), probe, |_| {})
        };
        Batch::inside("Capabilities", sets.map(row).into()).with(config)
    };
    vec![
        read("five sets that differ, root", |config| {
            config["process"]["capabilities"] = json!({
                "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_FOWNER", "CAP_SYSLOG"],
                "permitted": ["CAP_KILL", "CAP_CHOWN", "CAP_FOWNER"],
                "inheritable": ["CAP_KILL", "CAP_CHOWN"],
                "effective": ["CAP_KILL", "CAP_FOWNER"],
                "ambient": ["CAP_KILL"],
            });
        }),
        read("ambient, user 1000", |config| {
            let list = json!(["CAP_NET_RAW", "CAP_SYS_TIME"]);
            config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            config["process"]["capabilities"] = json!({
                "bounding": list, "permitted": list, "inheritable": list, "effective": list, "ambient": list,
            });
        }),
        read("not ambient, user 1000", |config| {
            let list = json!(["CAP_NET_RAW"]);
            config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            config["process"]["capabilities"] =
                json!({"bounding": list, "permitted": list, "effective": list});
        }),
        read("empty", |config| config["process"]["capabilities"] = json!({})),
        read("missing", |config| {
            config["process"].as_object_mut().unwrap().remove("capabilities");
        }),
    ]
}

fn scheduling() -> Vec<Batch> {
    let policy = "chrt -p $$ | grep -o 'SCHED_[A-Z]*'";
    Batch::apart(
        "Scheduling",
        Kind::Inside,
        vec![
            simple("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 0}), policy)
                .wants("SCHED_BATCH"),
            simple("/process/scheduler", json!({"policy": "SCHED_IDLE"}), policy).wants("SCHED_IDLE"),
            simple(
                "/process/ioPriority",
                json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}),
                "ionice -p $$",
            )
            .wants("idle"),
            simple("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}), "ionice -p $$")
                .wants("best-effort: prio 6"),
            simple("/linux/personality", json!({"domain": "LINUX32"}), "uname -m").wants("i686"),
            simple("/linux/personality", json!({"domain": "LINUX"}), "uname -m").wants("x86_64"),
            simple(
                "/process/noNewPrivileges",
                json!(false),
                "grep ^NoNewPrivs: /proc/self/status | cut -f 2",
            )
            .wants("0"),
        ],
    )
}

/// Reads the options of a mount, its propagation (without numbers), its type and those of its file system.
pub(crate) fn mountinfo(path: &str) -> String {
    format!(
        "awk '$5 == \"{path}\" {{ n = 7; p = \"\"; while ($n != \"-\") {{ sub(/:.*/, \"\", $n); p = p $n \" \"; n++ }} print $6, p $(n + 1), $(n + 3) }}' /proc/self/mountinfo | tail -n 1"
    )
}

fn tmpfs_options() -> Batch {
    let options = [
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "noatime",
        "atime",
        "strictatime",
        "relatime",
        "nodiratime",
        "diratime",
        "sync",
        "async",
        "dirsync",
        "defaults",
        "size=64k",
        "mode=700",
        "nr_inodes=50",
        "uid=7",
        "gid=8",
        "shared",
        "private",
        "slave",
        "unbindable",
        "rshared",
        "rprivate",
        "rslave",
        "nosymfollow",
    ];
    let row = |option: &'static str| {
        let path = format!("/tmpfs/{option}");
        let mount = json!({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": [option]});
        Row::new("mounts tmpfs", option, mountinfo(&path), push("/mounts", mount))
    };
    Batch::inside("Options of a tmpfs", options.map(row).into())
}

fn bind_options() -> Batch {
    let options = [
        "ro",
        "rw",
        "nosuid",
        "nodev",
        "noexec",
        "noatime",
        "nodiratime",
        "strictatime",
        "relatime",
        "shared",
        "private",
        "slave",
        "unbindable",
        "rshared",
        "rprivate",
        "rslave",
        "runbindable",
        "rro",
        "rnosuid",
        "rnodev",
        "rnoexec",
        "rnoatime",
        "rnodiratime",
        "rstrictatime",
        "rrelatime",
        "nosymfollow",
    ];
    let row = |option: &'static str| {
        let path = format!("/bound/{option}");
        let mount = json!({
            "destination": path, "type": "bind", "source": "$SCRATCH/bind", "options": ["rbind", option],
        });
        let probe = mountinfo(&path).replace("$(n + 1), $(n + 3)", "$(n + 1)");
        Row::new("mounts rbind", option, probe, push("/mounts", mount))
    };
    Batch::inside("Options of a bind mount", options.map(row).into())
}

fn mounts() -> Batch {
    let at =
        |title: &str, mount: Value, probe: &str| Row::new("mounts", title, probe, push("/mounts", mount));
    let bind = |to: &str, from: &str, options: &[&str]| json!({"destination": to, "type": "bind", "source": format!("$SCRATCH/{from}"), "options": options});
    let read = |path: &str| Row::new("mounts", format!("the default {path}"), mountinfo(path), |_| {});
    Batch::inside(
        "Mounts",
        vec![
            at("bind of a file", bind("/m/file", "bind/file", &["bind"]), "cat /m/file").wants("content"),
            at("bind of a file over one", bind("/etc/group", "bind/file", &["bind"]), "cat /etc/group").wants("content"),
            at("bind through a link of the image", bind("/paths/link/m", "bind", &["bind"]), "ls /paths/directory/m | tr '\\n' ' '").wants("file sub"),
            at("bind of a directory, by option only", json!({"destination": "/m/none", "type": "none", "source": "$SCRATCH/bind", "options": ["bind"]}), "ls /m/none | tr '\\n' ' '").wants("file sub"),
            at("bind below a bind", bind("/m/file2", "bind/file", &["bind", "ro"]), "echo > /m/file2 || echo refused"),
            at("a tmpfs with nothing else", json!({"destination": "/m/proc", "type": "tmpfs", "source": "tmpfs"}), "ls /m/proc | wc -l").wants("0"),
            at("tmpfs without a source", json!({"destination": "/m/nosource", "type": "tmpfs"}), "grep -c ' /m/nosource ' /proc/self/mountinfo").wants("1"),
            at("a destination with ..", json!({"destination": "/m/../n/x", "type": "tmpfs", "source": "tmpfs"}), "grep -c ' /n/x ' /proc/self/mountinfo").wants("1"),
            at("proc elsewhere", json!({"destination": "/m/proc2", "type": "proc", "source": "proc"}), "head -n 1 /m/proc2/1/status"),
            at("tmpfs with tmpcopyup", json!({"destination": "/paths", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]}), "cat /paths/directory/file; readlink /paths/link; touch /paths/x || true"),
            at("ramfs", json!({"destination": "/m/ramfs", "type": "ramfs", "source": "ramfs", "options": ["nosuid"]}), &mountinfo("/m/ramfs")),
            read("/"),
            read("/proc"),
            read("/dev"),
            read("/dev/pts"),
            read("/dev/shm"),
            read("/dev/mqueue"),
            read("/sys"),
        ],
    )
}

fn devices() -> Batch {
    let stat = "stat -c '%F %t:%T %a %u:%g'";
    let default =
        |name: &str| Row::new("linux.devices", format!("default {name}"), format!("{stat} {name}"), |_| {});
    let link =
        |name: &str| Row::new("linux.devices", format!("default {name}"), format!("readlink {name}"), |_| {});
    let listed = |device: Value| {
        let path = device["path"].as_str().unwrap().to_owned();
        Row::new(
            "linux.devices",
            device.to_string(),
            format!("{stat} {path}"),
            push("/linux/devices", device),
        )
    };
    let mut rows: Vec<Row> = ["null", "zero", "full", "random", "urandom", "tty"]
        .map(|name| default(&format!("/dev/{name}")))
        .into();
    rows.extend(["fd", "stdin", "stdout", "stderr", "ptmx"].map(|name| link(&format!("/dev/{name}"))));
    rows.push(Row::new(
        "linux.devices",
        "default /dev/core",
        "ls -d /dev/core /proc/kcore 2>/dev/null | wc -l",
        |_| {},
    ));
    rows.push(Row::new("linux.devices", "all of /dev", "ls /dev | sort | tr '\\n' ' '", |_| {}));
    rows.push(listed(json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 3, "gid": 4})));
    rows.push(listed(
        json!({"path": "/dev/below/block", "type": "b", "major": 7, "minor": 0, "fileMode": 0o660}),
    ));
    rows.push(listed(json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o644})));
    rows.push(listed(json!({"path": "/dev/u", "type": "u", "major": 1, "minor": 5})));
    rows.push(Row::new(
        "linux.resources.devices",
        "deny all",
        "dd if=/dev/u of=/dev/null bs=1 count=1 2>&1 | head -n 1",
        |_| {},
    ));
    Batch::inside("Devices", rows)
}

fn paths() -> Batch {
    let masked = |path: &str, probe: &str| {
        Row::new("linux.maskedPaths", path, probe, push("/linux/maskedPaths", json!(path)))
    };
    let read_only = |path: &str, probe: &str| {
        Row::new("linux.readonlyPaths", path, probe, push("/linux/readonlyPaths", json!(path)))
    };
    Batch::inside(
        "Masked and read-only paths",
        vec![
            masked("/paths/file", "cat /paths/file | wc -c").wants("0"),
            masked("/paths/file", &mountinfo("/paths/file")),
            masked(
                "/paths/directory/below",
                &mountinfo("/paths/directory/below").replace("$(n + 1), $(n + 3)", "$(n + 1)"),
            ),
            masked("/paths/missing", "ls /paths/missing || true"),
            masked("/proc/keys", "cat /proc/keys | wc -c").wants("0"),
            masked("/proc/acpi", "ls /proc/acpi 2>/dev/null | wc -l").wants("0"),
            masked("/sys/firmware", "ls /sys/firmware | wc -l").wants("0"),
            read_only("/proc/sys", "echo x > /proc/sys/kernel/hostname || true"),
            read_only("/proc/sys", &mountinfo("/proc/sys")),
            read_only("/paths/directory/file", "echo x > /paths/directory/file || true"),
            read_only("/usr", "mkdir /usr/x || true"),
            read_only("/paths/missing2", "ls /paths/missing2 || true"),
        ],
    )
}

fn roots() -> Vec<Batch> {
    let propagation = |value: &'static str| {
        simple(
            "/linux/rootfsPropagation",
            json!(value),
            &mountinfo("/").replace("$(n + 1), $(n + 3)", "$(n + 1)"),
        )
    };
    Batch::apart(
        "Root filesystem",
        Kind::Inside,
        vec![
            simple("/root/readonly", json!(true), "touch /x || true"),
            simple("/root/readonly", json!(true), &mountinfo("/").replace("$(n + 1), $(n + 3)", "$(n + 1)")),
            Row::new(
                "mounts /dev",
                "ro",
                format!("[ -c /dev/null ] && {}", mountinfo("/dev")),
                |config: &mut Value| {
                    for mount in config["mounts"].as_array_mut().unwrap() {
                        if mount["destination"] == "/dev" {
                            mount["options"].as_array_mut().unwrap().push(json!("ro"));
                        }
                    }
                },
            ),
            simple("/root/readonly", json!(false), "touch /x && echo writable").wants("writable"),
            propagation("private"),
            propagation("slave"),
            propagation("shared"),
            propagation("rprivate"),
            propagation("rslave"),
            propagation("unbindable"),
        ],
    )
}

const NAMESPACES: [&str; 7] = ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user"];

/// Whether a namespace is the host's.
fn compare(name: &str) -> String {
    let own = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    format!("[ \"$(readlink /proc/$$/ns/{name})\" = '{}' ] && echo host || echo new", own.display())
}

fn namespaces() -> Batch {
    let mut rows: Vec<Row> = NAMESPACES
        .iter()
        .map(|name| {
            Row::new("linux.namespaces", format!("pid network ipc uts mount: {name}"), compare(name), |_| {})
        })
        .collect();
    rows.push(Row::new(
        "linux.namespaces",
        "a new network: lo",
        "cat /sys/class/net/lo/flags /sys/class/net/lo/operstate",
        |_| {},
    ));
    rows.push(Row::new(
        "linux.namespaces",
        "a new network: lo",
        "ifconfig lo | grep -o 'inet.*' | sort",
        |_| {},
    ));
    rows.push(Row::new(
        "linux.namespaces",
        "a new network: interfaces",
        "ls /sys/class/net | tr '\\n' ' '",
        |_| {},
    ));
    rows.push(Row::new("linux.namespaces", "a new ipc: queues", "ls /dev/mqueue | wc -l", |_| {}));
    rows.push(Row::new("linux.namespaces", "a new pid: processes", "set -- /proc/[0-9]*; echo $#", |_| {}));
    Batch::inside("Namespaces", rows)
}

fn other_namespaces() -> Vec<Batch> {
    let without = |kind: &'static str, link: &str| {
        let change = move |config: &mut Value| {
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != kind);
            config.as_object_mut().unwrap().retain(|name, _| kind != "uts" || name != "hostname");
        };
        Row::new("linux.namespaces", format!("without {kind}"), compare(link), change)
    };
    let joined = |kind: &'static str, link: &'static str| {
        let change = move |config: &mut Value| {
            for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
                if namespace["type"] == kind {
                    namespace["path"] = json!(format!("/proc/{}/ns/{link}", std::process::id()));
                }
            }
            config.as_object_mut().unwrap().retain(|name, _| kind != "uts" || name != "hostname");
        };
        Row::new("linux.namespaces", format!("{kind} by path"), compare(link), change)
    };
    let added = |kind: &'static str, link: &str| {
        Row::new(
            "linux.namespaces",
            format!("with {kind}"),
            compare(link),
            push("/linux/namespaces", json!({"type": kind})),
        )
    };
    Batch::apart(
        "Namespaces",
        Kind::Inside,
        vec![
            without("network", "net"),
            without("ipc", "ipc"),
            without("uts", "uts"),
            without("pid", "pid"),
            joined("network", "net"),
            joined("ipc", "ipc"),
            joined("uts", "uts"),
            joined("pid", "pid"),
            added("cgroup", "cgroup"),
            added("time", "time").wants("new"),
            Row::new("linux.timeOffsets", "monotonic 86400", "[ \"$(cut -d . -f 1 /proc/uptime)\" -gt 0 ] && awk '{ print $1, $2 }' /proc/self/timens_offsets | head -n 1", |config| {
                push("/linux/namespaces", json!({"type": "time"}))(config);
                set("/linux/timeOffsets", json!({"monotonic": {"secs": 86400, "nanosecs": 0}}))(config);
            })
            .wants("monotonic 86400"),
            Row::new("linux.namespaces", "with cgroup: /proc/self/cgroup", "cut -d : -f 3 /proc/self/cgroup | sort -u", |config| {
                push("/linux/namespaces", json!({"type": "cgroup"}))(config);
            }),
        ],
    )
}

fn user_namespace() -> Batch {
    let read = |property: &str, probe: &str| Row::new(property, "0 0 65536", probe, |_| {});
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    Batch::inside(
        "User namespace",
        vec![
            read("linux.uidMappings", "tr -s ' ' < /proc/self/uid_map"),
            read("linux.gidMappings", "tr -s ' ' < /proc/self/gid_map"),
            read("linux.namespaces user", &compare("user")),
            read("(setgroups)", "cat /proc/self/setgroups"),
            read("(identity)", "grep -E '^(Uid|Gid):' /proc/self/status"),
            read("(devices)", "stat -c '%F %t:%T' /dev/null /dev/tty"),
            read("(/proc)", &mountinfo("/proc")),
            read("(lo)", "cat /sys/class/net/lo/operstate /sys/class/net/lo/flags"),
        ],
    )
    .with(move |config| {
        push("/linux/namespaces", json!({"type": "user"}))(config);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map.clone();
        config["linux"]["resources"] = json!({});
    })
}

fn parameters() -> Batch {
    let row = |(name, value): (&'static str, &'static str)| {
        let change = move |config: &mut Value| config["linux"]["sysctl"][name] = json!(value);
        Row::new(
            format!("linux.sysctl {name}"),
            value,
            format!("cat /proc/sys/{}", name.replace('.', "/")),
            change,
        )
    };
    let parameters = [
        ("kernel.shmmax", "1234567"),
        ("kernel.shm_rmid_forced", "1"),
        ("kernel.msgmax", "4096"),
        ("kernel.sem", "250 32000 32 100"),
        ("fs.mqueue.msg_max", "20"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.ping_group_range", "0 5"),
        ("net.ipv4.ip_unprivileged_port_start", "80"),
        ("net.core.somaxconn", "77"),
    ];
    Batch::inside("Kernel parameters", parameters.map(row).into())
}

fn resources() -> Batch {
    let file = |pointer: &'static str, value: Value, file: &str| {
        simple(pointer, value, &format!("cat /sys/fs/cgroup/{file} | tr '\\n' ' '"))
    };
    let rule = |rule: Value, probe: &str| {
        Row::new("linux.resources.devices", rule.to_string(), probe, push("/linux/resources/devices", rule))
    };
    let listed = |text: &str| format!("grep -c '^{text}$' /sys/fs/cgroup/devices/devices.list");
    let mount = json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
    });
    Batch::inside(
        "Resources (cgroup version 1)",
        vec![
            file("/linux/resources/memory/limit", json!(64 << 20), "memory/memory.limit_in_bytes").wants("67108864"),
            file("/linux/resources/memory/reservation", json!(32 << 20), "memory/memory.soft_limit_in_bytes").wants("33554432"),
            file("/linux/resources/memory/disableOOMKiller", json!(true), "memory/memory.oom_control"),
            file("/linux/resources/memory/swappiness", json!(60), "memory/memory.swappiness"),
            file("/linux/resources/cpu/shares", json!(512), "cpu/cpu.shares").wants("512"),
            file("/linux/resources/cpu/quota", json!(50000), "cpu/cpu.cfs_quota_us").wants("50000"),
            file("/linux/resources/cpu/period", json!(200_000), "cpu/cpu.cfs_period_us").wants("200000"),
            file("/linux/resources/cpu/cpus", json!("0"), "cpuset/cpuset.cpus").wants("0"),
            file("/linux/resources/cpu/mems", json!("0"), "cpuset/cpuset.mems").wants("0"),
            file("/linux/resources/pids/limit", json!(123), "pids/pids.max").wants("123"),
            Row::new("linux.resources.cpu.cpus", "0", "grep ^Cpus_allowed_list /proc/self/status", |_| {}),
            rule(json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}), &listed("c 10:229 rw")),
            rule(json!({"allow": true, "type": "b", "major": 7, "access": "r"}), &listed("b 7:\\* r")),
            Row::new("linux.resources.devices", "the defaults", "grep -cE '^c (1:[35789]|5:[02]|136:\\*) rwm$' /sys/fs/cgroup/devices/devices.list", |_| {}),
            Row::new("linux.resources.devices", "the defaults", "grep -cE '^[bc] \\*:\\* m$' /sys/fs/cgroup/devices/devices.list", |_| {}),
            Row::new("linux.resources.devices", "nothing else", "sort /sys/fs/cgroup/devices/devices.list", |_| {}),
            Row::new("linux.cgroupsPath", "/CGROUP/c1", "cut -d : -f 2,3 /proc/self/cgroup | grep CGROUP -c; cut -d : -f 3 /proc/self/cgroup | sort | uniq | head -n 3", |_| {}),
            Row::new("mounts cgroup", "ro", "ls /sys/fs/cgroup | sort | tr '\\n' ' '", |_| {}),
            Row::new("mounts cgroup", "ro: pids", mountinfo("/sys/fs/cgroup/pids"), |_| {}),
            Row::new("mounts cgroup", "ro: who is in it", "grep -c '^1$' /sys/fs/cgroup/pids/cgroup.procs", |_| {}).wants("1"),
            Row::new("mounts cgroup", "ro: writing", "mkdir /sys/fs/cgroup/pids/x || true", |_| {}),
        ],
    )
    .with(push("/mounts", mount))
}

fn hooks() -> Batch {
    let row = |kind: &'static str| {
        let change = move |config: &mut Value| {
            let inside = kind == "startContainer";
            let script = format!(
                "cat > {}/{kind}; echo {kind} >> {0}/order",
                if inside { "/out" } else { "$SCRATCH/out" }
            );
            let path = if inside { "/bin/sh" } else { "/usr/bin/sh" };
            let hook = json!({"path": path, "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]});
            config["hooks"][kind] = json!([hook]);
        };
        Row::new(
            format!("hooks.{kind}"),
            "a script",
            format!("grep -o '\"status\": *\"[a-z]*\"' \"$OUT/{kind}\" | tr -d ' '"),
            change,
        )
    };
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let mut rows: Vec<Row> = kinds.map(row).into();
    let read = |property: &str, probe: &str| Row::new(property, "", probe, |_| {});
    rows.push(
        read("hooks (order)", "tr '\\n' ' ' < \"$OUT/order\"")
            .wants("prestart createRuntime createContainer startContainer poststart poststop"),
    );
    rows.push(read("hooks (state: id)", "grep -l '\"id\":' \"$OUT\"/[pcs]* | wc -l").wants("6"));
    rows.push(read("hooks (state: bundle)", "grep -l '\"bundle\":' \"$OUT\"/[pcs]* | wc -l").wants("6"));
    rows.push(
        read("hooks (state: ociVersion)", "grep -l '\"ociVersion\":' \"$OUT\"/[pcs]* | wc -l").wants("6"),
    );
    rows.push(
        read("hooks (state: pid of createRuntime)", "grep -c '\"pid\": *[1-9]' \"$OUT/createRuntime\"")
            .wants("1"),
    );
    let out = json!({"destination": "/out", "type": "bind", "source": "$SCRATCH/out", "options": ["bind"]});
    let mut batch = Batch::inside("Hooks", rows).with(push("/mounts", out));
    batch.kind = Kind::Host;
    batch
}

fn seccomp() -> Vec<Batch> {
    let filter = |action: &str, errno: Option<u32>| {
        let mut rule = json!({"names": ["mkdir", "mkdirat"], "action": action});
        if let Some(errno) = errno {
            rule["errnoRet"] = json!(errno);
        }
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    };
    let row = |title: &str, filter: Value, probe: &str| {
        Row::new("linux.seccomp", title, probe, set("/linux/seccomp", filter))
    };
    let make = "mkdir /tmp/seccomp || true";
    Batch::apart(
        "System call filters",
        Kind::Inside,
        vec![
            row("SCMP_ACT_ERRNO", filter("SCMP_ACT_ERRNO", None), make),
            row("SCMP_ACT_ERRNO, errnoRet 28", filter("SCMP_ACT_ERRNO", Some(28)), make),
            row(
                "SCMP_ACT_ERRNO",
                filter("SCMP_ACT_ERRNO", None),
                "grep ^Seccomp: /proc/self/status | cut -f 2",
            )
            .wants("2"),
            row(
                "SCMP_ACT_KILL_PROCESS",
                filter("SCMP_ACT_KILL_PROCESS", None),
                "(mkdir /tmp/seccomp); echo $?",
            ),
            Row::new("linux.seccomp", "none", "grep ^Seccomp: /proc/self/status | cut -f 2", |_| {})
                .wants("0"),
        ],
    )
}

fn refusals() -> Vec<Batch> {
    let row = |title: &str, change: fn(&mut Value)| Row::new("(refused or not)", title, "", change);
    let bind = |to: &'static str| {
        move |config: &mut Value| {
            let mount =
                json!({"destination": to, "type": "bind", "source": "$SCRATCH/bind", "options": ["bind"]});
            push("/mounts", mount)(config);
        }
    };
    Batch::apart(
        "What is refused",
        Kind::Runs,
        vec![
            row("nothing wrong", |_| {}),
            row("process.args is empty", |c| c["process"]["args"] = json!([])),
            row("process.args names no command", |c| c["process"]["args"] = json!(["NoSuchFile"])),
            row("process.args names a directory", |c| c["process"]["args"] = json!(["/etc"])),
            row("process.args names a file that is not executable", |c| {
                c["process"]["args"] = json!(["/etc/passwd"]);
            }),
            row("process.cwd is relative", |c| c["process"]["cwd"] = json!("usr")),
            row("process.cwd is a file", |c| c["process"]["cwd"] = json!("/etc/passwd")),
            row("process.cwd is missing in the image", |c| c["process"]["cwd"] = json!("/made/for/it")),
            row("process is missing", |c| drop(c.as_object_mut().unwrap().remove("process"))),
            row("root is missing", |c| drop(c.as_object_mut().unwrap().remove("root"))),
            row("root.path is missing on disk", |c| c["root"]["path"] = json!("nowhere")),
            row("an rlimit above its hard limit", |c| {
                c["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 5}]);
            }),
            row("an unknown rlimit", |c| {
                c["process"]["rlimits"] = json!([{"type": "RLIMIT_NONE", "soft": 5, "hard": 5}]);
            }),
            row("an unknown namespace", |c| push("/linux/namespaces", json!({"type": "none"}))(c)),
            row("a namespace twice", |c| push("/linux/namespaces", json!({"type": "pid"}))(c)),
            row("a namespace path that is missing", |c| {
                c["linux"]["namespaces"][2]["path"] = json!("/nowhere");
            }),
            row("a namespace path of another kind", |c| {
                c["linux"]["namespaces"][2]["path"] = json!(format!("/proc/{}/ns/uts", std::process::id()));
            }),
            row("a bind source that is missing", |c| {
                push(
                    "/mounts",
                    json!({"destination": "/y", "type": "bind", "source": "/nowhere", "options": ["bind"]}),
                )(c);
            }),
            row("an unknown file system", |c| {
                push("/mounts", json!({"destination": "/y", "type": "nofs", "source": "x"}))(c);
            }),
            row("an unknown mount option", |c| {
                push(
                    "/mounts",
                    json!({"destination": "/y", "type": "tmpfs", "source": "x", "options": ["nooption"]}),
                )(c);
            }),
            Row::new("(refused or not)", "a bind mount over /proc", "", bind("/proc")),
            Row::new("(refused or not)", "a bind mount over /proc/self", "", bind("/proc/self")),
            Row::new("(refused or not)", "a bind mount over /proc/sys/net", "", bind("/proc/sys/net")),
            row("a hook that fails", |c| c["hooks"]["createRuntime"] = json!([{"path": "/bin/false"}])),
            row("a hook that is missing", |c| c["hooks"]["prestart"] = json!([{"path": "/nowhere"}])),
            row("a kernel parameter of the host", |c| c["linux"]["sysctl"]["vm.swappiness"] = json!("60")),
            row("a kernel parameter that is missing", |c| c["linux"]["sysctl"]["net.none"] = json!("1")),
            row("user mappings without a user namespace", |c| {
                c["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
            }),
            row("an unknown propagation", |c| c["linux"]["rootfsPropagation"] = json!("none")),
            row("an apparmor profile that is missing", |c| {
                c["process"]["apparmorProfile"] = json!("none-such");
            }),
        ],
    )
}
