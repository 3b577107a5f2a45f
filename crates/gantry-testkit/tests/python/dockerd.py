"""A client of the shape of dockerd runs its life cycles, with its daemon killed in between, and is killed itself.

Each life of dockerd is a process of its own, because its daemon ends with it; the containers do not. Prints "ok" at the
end; any other end is a failure.
"""

import argparse
import copy
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import types_pb2

from docker_containerd import SECONDS
from libcontainerd import Client, StartFailed

SHELL = "while read line; do echo got $line; done; exit 6"
# CAP_CHOWN and CAP_KILL, which both the bundle and the execs name.
CAPABILITIES = "CapEff:\t0000000000000021\n"
LOOP = "while :; do sleep 0.02; done"


class Life:
    """What the life cycles share: the client, and how containers are described."""

    def __init__(self, arguments):
        self.root = os.path.join(arguments.root, "libcontainerd")
        self.rootfs = arguments.rootfs
        with open(arguments.config, encoding="utf-8") as file:
            self.template = json.load(file)
        self.client = Client(self.root, arguments.programs, arguments.runtime_arg)

    def config(self, container, args, tty=False, change=None):
        config = copy.deepcopy(self.template)
        config["process"]["args"] = args
        config["process"]["terminal"] = tty
        config["root"]["path"] = self.rootfs
        parent = os.path.dirname(config["linux"]["cgroupsPath"])
        config["linux"]["cgroupsPath"] = f"{parent}/{container}"
        if change is not None:
            change(config)
        return config

    def run(self, *args, container=None, tty=False, stdin=False, change=None):
        container = container or secrets.token_hex(32)
        return self.client.run(container, self.config(container, list(args), tty, change), tty, stdin)

    def shell(self, script, **options):
        return self.run("sh", "-c", script, **options)

    def execute(self, container, *args, **options):
        return self.client.execute(container, secrets.token_hex(32), list(args), **options)

    def touch(self, name):
        with open(os.path.join(self.rootfs, name), "w", encoding="ascii"):
            pass

    def events(self, container):
        return self.client.event_log[container.id]


# === life cycles ===


def run_and_exec(life):
    version = life.client.api.GetServerVersion(
        types_pb2.GetServerVersionRequest(), timeout=SECONDS, wait_for_ready=True
    )
    assert isinstance(version.revision, str)
    container = life.shell("echo out; echo err >&2; grep CapEff /proc/self/status; cat; exit 3", stdin=True)
    container.streams.wait_for("CapEff")
    # More than a FIFO holds, before its copying begins.
    many = life.execute(container, "seq", "1", "60000")
    assert many.wait() == 0 and many.streams.text().endswith("\n60000\n")
    capabilities = life.execute(container, "grep", "CapEff", "/proc/self/status")
    assert (capabilities.wait(), capabilities.streams.text()) == (0, CAPABILITIES)
    reader = life.execute(container, "sh", "-c", "tr a-z A-Z; exit 5", stdin=True)
    reader.streams.write(b"words")
    life.client.close_stdin(container, reader.process, reader.streams)
    assert (reader.wait(), reader.streams.text()) == (5, "WORDS")
    assert life.execute(container, "sh", "-c", "sleep 1000 >/dev/null 2>&1 </dev/null &").wait() == 0
    held = life.execute(container, "sleep", "1000")

    container.streams.write(b"a line\n")
    life.client.close_stdin(container, "init", container.streams)
    assert container.wait() == 3
    assert (container.streams.text(), container.streams.text("stderr")) == (f"out\n{CAPABILITIES}a line\n", "err\n")
    # The exec's end was told before its container's, or its container would have been unknown.
    assert held.wait() == 137
    assert not os.path.exists(container.bundle)


def failures(life):
    container = secrets.token_hex(32)
    for args, status in ((["no-such-command"], 127), (["/no/such/command"], 127), (["/etc/passwd"], 126)):
        try:
            life.run(*args, container=container)
            raise AssertionError(f"{args} ran")
        except StartFailed as failure:
            assert failure.status == status, (failure, failure.status)
    # The same id is free at once, and no exit was told for what never ran.
    survivor = life.shell(SHELL, container=container, stdin=True)
    try:
        life.execute(survivor, "no-such-command")
        raise AssertionError("it ran")
    except StartFailed as failure:
        assert failure.status == 126 and "no-such-command" in str(failure), failure
    life.client.close_stdin(survivor, "init", survivor.streams)
    assert survivor.wait() == 6
    assert life.events(survivor) == [("start-container", "", 0), ("exit", "init", 6)], life.events(survivor)


def stopping(life):
    polite = life.shell(f"trap 'echo bye; exit 143' TERM; echo ready; {LOOP}")
    polite.streams.wait_for("ready")
    assert life.client.stop(polite) == 143 and polite.streams.text() == "ready\nbye\n"
    deaf = life.run("sleep", "1000")
    victim = life.execute(deaf, "sleep", "1000")
    life.client.signal(deaf, signal.SIGTERM, victim.process)
    assert victim.wait() == 143
    assert life.client.stop(deaf, seconds=0.2) == 137
    # Too late, which is no failure.
    life.client.signal(deaf, signal.SIGTERM)
    life.client.close_stdin(deaf, "init", deaf.streams)


def pausing(life):
    container = life.run("sleep", "1000")
    for _ in range(5):
        life.client.set_paused(container, True)
        assert life.client.stats(container).cgroup_stats.pids_stats.current == 1
        assert life.client.pids(container) == [container.system_pid]
        life.client.set_paused(container, False)
    life.client.update(container, memoryLimit=64 << 20, cpuShares=512, pidsLimit=50)
    stats = life.client.stats(container)
    assert stats.cgroup_stats.memory_stats.usage.limit == 64 << 20, stats
    assert stats.cgroup_stats.cpu_stats.system_usage > 0 and stats.timestamp.seconds > 0, stats
    assert life.client.stop(container, seconds=0.2) == 137


def terminals(life):
    container = life.run("sh", tty=True, stdin=True)
    life.client.resize(container, "init", 111, 33)
    container.streams.write(b"stty size; exec 2>&1; ls /nonexistent\n")
    container.streams.wait_for("33 111\r\n")
    # dockerd names a file for stderr and makes none; all of it is on stdout.
    container.streams.wait_for("No such file")
    assert not os.path.exists(container.streams.paths["stderr"])
    shell = life.execute(container, "sh", tty=True, stdin=True)
    life.client.resize(container, shell.process, 99, 22)
    shell.streams.write(b"stty size; exit 4\n")
    assert shell.wait() == 4 and "22 99\r\n" in shell.streams.text()
    assert not os.path.exists(shell.streams.paths["stdout"])
    container.streams.write(b"exit 7\n")
    assert container.wait() == 7


def restarting(life):
    """A restart policy: the same id at once, after the bundle was deleted at the exit of the one before."""
    container_id = secrets.token_hex(32)
    for status in range(15):
        container = life.shell(f"echo {status}; exit {status}", container=container_id)
        assert (container.wait(), container.streams.text()) == (status, f"{status}\n")
    kinds = [kind for kind, *_ in life.events(container)]
    assert kinds == ["start-container", "exit"] * 15, kinds

    def several(number):
        for _ in range(3):
            assert life.shell(f"exit {number}").wait() == number
        return True

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(several, range(10)))


def out_of_memory(life):
    def limit(config):
        config["linux"]["resources"]["memory"] = {"limit": 8 << 20, "swap": 8 << 20}

    container = life.shell("x=a; while :; do x=$x$x; done", change=limit)
    assert container.wait() == 137 and container.oom_killed
    assert life.events(container) == [("start-container", "", 0), ("oom", "", 0), ("exit", "init", 137)]


def killed_daemon(life):
    """The daemon is killed, and spawned again once its health has failed three times."""
    client = life.client
    for round_, number in enumerate((signal.SIGKILL, signal.SIGTERM)):
        go = f"go-{round_}"
        keep = life.shell(SHELL, stdin=True)
        held = life.execute(keep, "sleep", "1000")
        frozen = life.run("sleep", "1000")
        client.set_paused(frozen, True)
        short = life.shell(f"while [ ! -e /{go} ]; do sleep 0.02; done; echo last words; exit 8")
        spawned = client.daemon.spawned
        client.daemon.kill(number)
        keep.streams.write(b"one\n")
        keep.streams.wait_for("got one\n")
        life.touch(go)
        client.daemon.wait_for(spawned + 1)

        # What ended meanwhile is told once, with its status; the rest noticed nothing.
        assert (short.wait(), short.streams.text()) == (8, "last words\n")
        assert life.events(short) == [("start-container", "", 0), ("exit", "init", 8)], life.events(short)
        client.set_paused(frozen, False)
        assert client.stop(frozen, seconds=0.2) == 137
        assert life.execute(keep, "true").wait() == 0
        keep.streams.write(b"two\n")
        client.close_stdin(keep, "init", keep.streams)
        assert (keep.wait(), keep.streams.text()) == (6, "got one\ngot two\n")
        assert held.wait() == 137


# === lives ===


def first_life(life):
    for cycle in (run_and_exec, failures, stopping, pausing, terminals, restarting, out_of_memory, killed_daemon):
        started = time.monotonic()
        cycle(life)
        print(f"{cycle.__name__}: {time.monotonic() - started:.1f} s", flush=True)
        assert not life.client.containers and not life.client.unknown_events, life.client.unknown_events
    containers = {
        "keep": life.shell(f"echo up; {SHELL}", stdin=True),
        "frozen": life.run("sleep", "1000"),
        "gone": life.shell("while [ ! -e /gone ]; do sleep 0.02; done; exit 5"),
        "terminal": life.run("sh", tty=True, stdin=True),
        "polite": life.shell(f"trap 'exit 143' TERM; {LOOP}"),
        # Nobody reads for a while, and so it waits.
        "noisy": life.shell("trap 'exit 143' TERM; while :; do echo noise; done"),
    }
    life.client.set_paused(containers["frozen"], True)
    return containers


def second_life(life, before):
    """With --live-restore: all that runs is taken up again, at once and in parallel."""
    with ThreadPoolExecutor(len(before)) as pool:
        take_up = {
            name: pool.submit(life.client.restore, entry["id"], entry["tty"], True) for name, entry in before.items()
        }
    containers = {name: taken.result()[0] for name, taken in take_up.items()}
    statuses = {name: taken.result()[1] for name, taken in take_up.items()}
    assert statuses == {**dict.fromkeys(before), "gone": 5}, statuses
    del containers["gone"]
    pids = {name: container.system_pid for name, container in containers.items()}
    assert pids == {name: before[name]["pid"] for name in containers}, pids
    assert [name for name, container in containers.items() if container.paused] == ["frozen"]

    keep, frozen, terminal = containers["keep"], containers["frozen"], containers["terminal"]
    keep.streams.write(b"again\n")
    keep.streams.wait_for("got again\n")
    assert life.execute(keep, "sh", "-c", "exit 9").wait() == 9
    life.client.set_paused(frozen, False)
    assert life.client.stop(frozen, seconds=0.2) == 137
    life.client.resize(terminal, "init", 77, 11)
    terminal.streams.write(b"stty size\n")
    terminal.streams.wait_for("11 77\r\n")
    terminal.streams.write(b"exit 2\n")
    assert terminal.wait() == 2
    return {name: containers[name] for name in ("keep", "polite", "noisy")}


def third_life(life, before):
    """Without --live-restore: what runs is stopped."""
    # The first process of a PID namespace does not get the SIGTERM that it does not handle.
    seconds = {"keep": 0.2}
    statuses = {
        name: life.client.restore(entry["id"], entry["tty"], False, seconds.get(name, SECONDS))[1]
        for name, entry in before.items()
    }
    assert statuses == {"keep": 137, "polite": 143, "noisy": 143}, statuses
    assert not life.client.containers
    life.client.daemon.shut_down()
    return {}


def live(arguments):
    """One life, in this process; dockerd's own records are the part of it that it leaves."""
    life = Life(arguments)
    records = os.path.join(arguments.root, "containers.json")
    if arguments.life == "first":
        left = first_life(life)
    else:
        with open(records, encoding="utf-8") as file:
            before = json.load(file)
        left = {"second": second_life, "third": third_life}[arguments.life](life, before)
    entries = {name: {"id": c.id, "tty": c.tty, "pid": c.system_pid} for name, c in left.items()}
    with open(records, "w", encoding="utf-8") as file:
        json.dump(entries, file)
    print(f"the {arguments.life} life is over", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_end(pid):
    deadline = time.monotonic() + SECONDS
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline, f"process {pid} does not end"
        time.sleep(0.02)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--rootfs", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--runtime-arg", action="append", default=[])
    parser.add_argument("--life")
    arguments = parser.parse_args()
    if arguments.life:
        live(arguments)
    for name in ("first", "second", "third"):
        done = subprocess.run([sys.executable, "-B", *sys.argv, "--life", name], check=False)
        assert done.returncode == -signal.SIGKILL, f"the {name} life ended with {done.returncode}"
        with open(os.path.join(arguments.root, "libcontainerd/docker-containerd.pid"), encoding="ascii") as file:
            wait_for_end(int(file.read()))
        if name == "first":
            # While nobody is there.
            with open(os.path.join(arguments.root, "containers.json"), encoding="utf-8") as file:
                gone = json.load(file)["gone"]["pid"]
            with open(os.path.join(arguments.rootfs, "gone"), "w", encoding="ascii"):
                pass
            wait_for_end(gone)
    print("ok")


main()
