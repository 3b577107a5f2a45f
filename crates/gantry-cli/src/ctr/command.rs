//! The commands of ctr: one definition each, from which its line is read and its help is made.

use std::time::Duration;

use super::flags::{Flag, Kind};

/// A command, or a group of commands that is one itself when none of them is named.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// How its help calls its arguments.
    pub(crate) arguments: &'static str,
    pub(crate) flags: &'static [&'static Flag],
    pub(crate) subcommands: &'static [Command],
    pub(crate) action: Action,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Help,
    Version,
    State,
    Events,
    List,
    Start,
    Exec,
    Kill,
    Pause,
    Resume,
    Stats,
    Watch,
    Update,
    ListCheckpoints,
    CreateCheckpoint,
    DeleteCheckpoint,
}

// === global flags ===

pub(crate) static DEBUG: Flag = Flag::switch(&["debug"], "accepted for 0.2's sake");
pub(crate) static ADDRESS: Flag = Flag::text(&["address"], "where the daemon listens, as proto://address")
    .or("unix:///run/containerd/containerd.sock");
pub(crate) static CONN_TIMEOUT: Flag = Flag {
    names: &["conn-timeout"],
    kind: Kind::Span(Duration::from_secs(1)),
    help: "how long connecting may take, such as 500ms or 5s",
};
pub(crate) static VERSION: Flag = Flag::switch(&["version", "v"], "print the version");

// === flags of commands ===

pub(crate) static TIMESTAMP: Flag =
    Flag::text(&["timestamp", "t"], "also what happened after this moment, such as 2017-03-01T12:00:00.5Z");

pub(crate) static CHECKPOINT: Flag = Flag::text(&["checkpoint", "c"], "start from this checkpoint");
pub(crate) static CHECKPOINT_DIR: Flag =
    Flag::text(&["checkpoint-dir"], "where checkpoints are, the bundle's `checkpoints` by default");
pub(crate) static ATTACH: Flag =
    Flag::switch(&["attach", "a"], "stay with the process: its stdio, its exit status");
pub(crate) static LABEL: Flag = Flag::list(&["label", "l"], "a label for the container");
pub(crate) static NO_PIVOT: Flag = Flag::switch(&["no-pivot"], "do not use pivot_root, as on a ramdisk");
pub(crate) static RUNTIME: Flag =
    Flag::text(&["runtime", "r"], "the OCI runtime, by name or path").or("runc");
pub(crate) static RUNTIME_ARGS: Flag = Flag::list(&["runtime-args"], "an argument for the runtime");

pub(crate) static ID: Flag = Flag::text(&["id"], "the container");
pub(crate) static NEW_PID: Flag = Flag::text(&["pid"], "an id for the new process");
pub(crate) static CWD: Flag = Flag::text(&["cwd"], "the directory to run in").or("/");
pub(crate) static TTY: Flag = Flag::switch(&["tty", "t"], "give the process a terminal");
pub(crate) static ENV: Flag = Flag::list(&["env", "e"], "a variable, NAME=VALUE");
pub(crate) static UID: Flag = Flag::number(&["uid", "u"], 0, "the user, by number");
pub(crate) static GID: Flag = Flag::number(&["gid", "g"], 0, "the group, by number");

pub(crate) static PID: Flag = Flag::text(&["pid", "p"], "the process within the container").or("init");
pub(crate) static SIGNAL: Flag = Flag::number(&["signal", "s"], 15, "the signal, by number");

pub(crate) static MEMORY_LIMIT: Flag = Flag::text(&["memory-limit"], "bytes");
pub(crate) static MEMORY_RESERVATION: Flag = Flag::text(&["memory-reservation"], "bytes");
pub(crate) static MEMORY_SWAP: Flag = Flag::text(&["memory-swap"], "bytes of memory and swap together");
pub(crate) static CPU_QUOTA: Flag = Flag::text(&["cpu-quota"], "microseconds in each period");
pub(crate) static CPU_PERIOD: Flag = Flag::text(&["cpu-period"], "microseconds");
pub(crate) static CPU_SHARES: Flag = Flag::text(&["cpu-shares"], "relative weight");
pub(crate) static CPU_REALTIME_PERIOD: Flag = Flag::text(&["cpu-realtime-period"], "microseconds");
pub(crate) static CPU_REALTIME_RUNTIME: Flag =
    Flag::text(&["cpu-realtime-runtime"], "microseconds in each period");
pub(crate) static KERNEL_LIMIT: Flag = Flag::text(&["kernel-limit"], "bytes of kernel memory");
pub(crate) static KERNEL_TCP_LIMIT: Flag = Flag::text(&["kernel-tcp-limit"], "bytes of TCP buffers");
pub(crate) static BLKIO_WEIGHT: Flag = Flag::text(&["blkio-weight"], "relative weight, 10 to 1000");
pub(crate) static CPUSET_CPUS: Flag = Flag::text(&["cpuset-cpus"], "processors, such as 0-2,7");
pub(crate) static CPUSET_MEMS: Flag = Flag::text(&["cpuset-mems"], "memory nodes, such as 0,1");
pub(crate) static PIDS_LIMIT: Flag = Flag::text(&["pids-limit"], "number of tasks");

pub(crate) static TCP: Flag = Flag::switch(&["tcp"], "keep open TCP connections");
pub(crate) static UNIX_SOCKETS: Flag = Flag::switch(&["unix-sockets"], "keep external Unix sockets");
pub(crate) static EXIT: Flag = Flag::switch(&["exit"], "end the container once the checkpoint is written");
pub(crate) static SHELL: Flag = Flag::switch(&["shell"], "the container is a shell's job");
pub(crate) static EMPTY_NS: Flag = Flag::list(&["empty-ns"], "a namespace to leave empty, such as network");

// === commands ===

pub(crate) static CTR: Command = Command {
    name: "ctr",
    about: "runs containers through the API of containerd 0.2",
    arguments: "command [command options] [arguments...]",
    flags: &[&DEBUG, &ADDRESS, &CONN_TIMEOUT, &VERSION],
    subcommands: &[
        Command {
            subcommands: &[
                leaf(
                    "list",
                    "list checkpoints of a container",
                    "ID",
                    &[&CHECKPOINT_DIR],
                    Action::ListCheckpoints,
                ),
                leaf(
                    "create",
                    "write a checkpoint of a container",
                    "ID NAME",
                    &[&TCP, &UNIX_SOCKETS, &EXIT, &SHELL, &CHECKPOINT_DIR, &EMPTY_NS],
                    Action::CreateCheckpoint,
                ),
                leaf(
                    "delete",
                    "remove a checkpoint",
                    "ID NAME",
                    &[&CHECKPOINT_DIR],
                    Action::DeleteCheckpoint,
                ),
            ],
            ..leaf("checkpoints", "list, create and delete checkpoints", GROUP, &[], Action::ListCheckpoints)
        },
        Command {
            subcommands: &[
                leaf(
                    "exec",
                    "run one more process in a container",
                    "COMMAND [arguments...]",
                    &[&ID, &NEW_PID, &ATTACH, &CWD, &TTY, &ENV, &UID, &GID],
                    Action::Exec,
                ),
                leaf("kill", "send a signal to a process", "ID", &[&PID, &SIGNAL], Action::Kill),
                leaf("list", "list containers", "[ID]", &[], Action::List),
                leaf("pause", "stop all processes of a container", "ID", &[], Action::Pause),
                leaf("resume", "let a paused container go on", "ID", &[], Action::Resume),
                leaf(
                    "start",
                    "start a container from a bundle",
                    "ID BUNDLE",
                    &[&CHECKPOINT, &CHECKPOINT_DIR, &ATTACH, &LABEL, &NO_PIVOT, &RUNTIME, &RUNTIME_ARGS],
                    Action::Start,
                ),
                leaf("state", "print all that the daemon knows, as JSON", "[ID]", &[], Action::State),
                leaf("stats", "print what a container uses, as JSON", "ID", &[], Action::Stats),
                leaf("watch", "print what happens to containers", "[ID]", &[], Action::Watch),
                leaf(
                    "update",
                    "change what a container may use",
                    "ID",
                    &[
                        &MEMORY_LIMIT,
                        &MEMORY_RESERVATION,
                        &MEMORY_SWAP,
                        &CPU_QUOTA,
                        &CPU_PERIOD,
                        &CPU_SHARES,
                        &CPU_REALTIME_PERIOD,
                        &CPU_REALTIME_RUNTIME,
                        &KERNEL_LIMIT,
                        &KERNEL_TCP_LIMIT,
                        &BLKIO_WEIGHT,
                        &CPUSET_CPUS,
                        &CPUSET_MEMS,
                        &PIDS_LIMIT,
                    ],
                    Action::Update,
                ),
            ],
            ..leaf("containers", "run containers and look after them", GROUP, &[], Action::List)
        },
        leaf("events", "print what happens to containers, as it happens", "", &[&TIMESTAMP], Action::Events),
        leaf("state", "print all that the daemon knows, as JSON", "[ID]", &[], Action::State),
        leaf("version", "print the daemon's version", "", &[], Action::Version),
    ],
    action: Action::Help,
};

const GROUP: &str = "command [command options] [arguments...]";

const fn leaf(
    name: &'static str,
    about: &'static str,
    arguments: &'static str,
    flags: &'static [&'static Flag],
    action: Action,
) -> Command {
    Command { name, about, arguments, flags, subcommands: &[], action }
}
