#!/usr/bin/env python3
"""How much memory a container costs beside what runs in it.

    benches/memory.py [N ...]

Starts N containers (50 unless told otherwise) of the same bundle (busybox, `sleep`) with Gantry and with each peer that is
installed (containerd and its runc shim, conmon with runc), one after the other in the same run, and prints what the
process beside each container has, on average, and what the daemon has, as a Markdown table. Needs root; everything is in
a throw-away folder and ended by its id.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import common

ARGS = ["sleep", "1000000"]
# What was needed for starting is given back by then.
SETTLE_SECONDS = 2


class Gantry:
    """gantryd and its shims."""

    name = "Gantry"

    def __init__(self, scratch):
        bins, self.address = common.programs(), f"unix://{scratch.path}/gantryd.sock"
        self.gantry = [bins / "gantry", "--address", self.address]
        self.daemon = subprocess.Popen(
            [bins / "gantryd", "--listen", self.address, "--state-dir", scratch.path / "state"]
            + ["--shim", bins / "gantry-shim", "--runtime", bins / "gantry-runtime"]
            + ["--runtime-args", f"--root={scratch.path}/runtime"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        common.wait_until("gantryd", lambda: Path(scratch.path, "gantryd.sock").exists())
        self.state = scratch.path / "state"

    def start(self, name, bundle):
        # Its output goes into a log that the shim writes.
        common.run(*self.gantry, "run", "-d", "--name", name, "--bundle", bundle)

    def shims(self, names):
        """Whoever stands in the folder of a container's init."""
        folders = {str(self.state / name / "init") for name in names}
        found = []
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(f"{entry.path}/cwd") in folders:
                    found.append(int(entry.name))
        return found

    def daemons(self):
        # And a resident parent of the shims, if it has one.
        threads = Path(f"/proc/{self.daemon.pid}/task").iterdir()
        children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
        resident = [int(pid) for pid in children if b"resident" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return [self.daemon.pid, *resident]

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()


class Containerd:
    """containerd 1.6 and its shim for runc."""

    name = "containerd"

    @staticmethod
    def is_there():
        return all(map(shutil.which, ["containerd", "ctr", "containerd-shim-runc-v2", "runc"]))

    def __init__(self, scratch):
        self.socket = scratch.path / "containerd.sock"
        config = scratch.path / "containerd.toml"
        config.write_text(
            "version = 2\n"
            f'root = "{scratch.path}/containerd"\nstate = "{scratch.path}/containerd-state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{self.socket}"\n'
        )
        log = open(scratch.path / "containerd.log", "w")
        self.daemon = subprocess.Popen(["containerd", "-c", config], stdout=log, stderr=log)
        common.wait_until("containerd", lambda: self.ctr_answers())
        version = common.run("containerd", "--version").split()
        self.name = f"containerd {next(word for word in version[1:] if word[0].isdigit()).split('~')[0]}"

    def ctr_answers(self):
        return self.socket.exists() and subprocess.run(
            ["ctr", "-a", self.socket, "version"], capture_output=True, check=False
        ).returncode == 0

    def start(self, name, bundle):
        config = bundle / "config.json"
        common.run("ctr", "-a", self.socket, "run", "-d", "--null-io", "--config", config, name)

    def shims(self, names):
        wanted = {name.encode() for name in names}
        found = []
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                words = Path(entry.path, "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else [b""]
                if words[0].endswith(b"containerd-shim-runc-v2") and wanted & set(words):
                    found.append(int(entry.name))
        return found

    def daemons(self):
        return [self.daemon.pid]

    def stop(self):
        for name in common.run("ctr", "-a", self.socket, "task", "ls", "-q").split():
            common.run("ctr", "-a", self.socket, "task", "rm", "-f", name)
            common.run("ctr", "-a", self.socket, "container", "rm", name)
        self.daemon.terminate()
        self.daemon.wait()


class Conmon:
    """conmon with runc, as podman has them: no daemon."""

    name = "conmon"

    @staticmethod
    def is_there():
        return all(map(shutil.which, ["conmon", "runc"]))

    def __init__(self, scratch):
        self.path = scratch.path / "conmon"
        self.path.mkdir()
        self.runtime = ["runc", f"--root={self.path}/runc"]
        self.name = f"conmon {common.run('conmon', '--version').split()[2]}"
        self.pids = []

    def start(self, name, bundle):
        own = self.path / name
        own.mkdir()
        runc = shutil.which("runc")
        common.run(
            *["conmon", "--api-version", "1", "-c", name, "-n", name, "-u", uuid.uuid4().hex, "-b", bundle],
            *["-r", runc, f"--runtime-arg=--root={self.path}/runc", "-p", own / "pid", "-P", own / "conmon"],
            *["-l", "k8s-file:/dev/null", "--exit-dir", own, "--full-attach"],
        )
        common.wait_until("conmon", lambda: (own / "pid").exists() and (own / "pid").read_text())
        common.run(*self.runtime, "start", name)
        self.pids.append(int((own / "conmon").read_text()))

    def shims(self, names):
        return self.pids

    def daemons(self):
        return []

    def stop(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def measure(peer, scratch, bundles):
    for name, bundle in bundles.items():
        peer.start(name, bundle)
    time.sleep(SETTLE_SECONDS)
    shims = peer.shims(bundles)
    if len(shims) != len(bundles):
        sys.exit(f"bench: {peer.name} has {len(shims)} processes beside {len(bundles)} containers")
    each = [sum(column) / len(shims) for column in zip(*map(common.memory_kib, shims))]
    daemon = [sum(column) for column in zip(*map(common.memory_kib, peer.daemons()))]
    return each, daemon


def main():
    common.begin()
    counts = [int(word) for word in sys.argv[1:]] or [50]
    print(f"Memory beside each container and of the daemon, in KiB; {common.machine()}.\n")
    print("| containers | by | PSS | × Gantry | RSS | private | daemon PSS | daemon private | in all, PSS | × Gantry |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for count in counts:
        own = None
        for kind in [Gantry, Containerd, Conmon]:
            if kind is not Gantry and not kind.is_there():
                print(f"bench: {kind.name} is not installed (scripts/setup.sh bench)", file=sys.stderr)
                continue
            scratch = common.Scratch()
            try:
                bundles = {f"{scratch.name}-{n}": scratch.bundle(f"{scratch.name}-{n}", ARGS) for n in range(count)}
                peer = kind(scratch)
                try:
                    (pss, rss, private), daemon = measure(peer, scratch, bundles)
                finally:
                    peer.stop()
            finally:
                scratch.remove()
            daemon_pss, _, daemon_private = daemon or (0, 0, 0)
            total = pss * count + daemon_pss
            own = own or (pss, total)
            print(
                f"| {count} | {peer.name} | {pss:.0f} | {pss / own[0]:.1f} | {rss:.0f} | {private:.0f} "
                f"| {daemon_pss or '-'} | {daemon_private or '-'} | {total:.0f} | {total / own[1]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
