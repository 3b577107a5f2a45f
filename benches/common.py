"""What the benchmarks share: a throw-away folder, bundles, processes, and their memory."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# No start of one container takes nearly as long.
PATIENCE_SECONDS = 120


def programs():
    """The folder of Gantry's programs: GANTRY_BIN_DIR, or where `make build` puts them."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(os.environ.get("GANTRY_BIN_DIR", target / "gantry/bin"))


def begin():
    """Root is needed; and whoever ends a benchmark early leaves nothing behind either."""
    if os.geteuid() != 0:
        sys.exit("bench: containers need root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Scratch:
    """A temporary folder with a root of busybox; everything of a benchmark is below it and goes with it."""

    def __init__(self):
        # The name that scripts/leftovers.sh looks for.
        self.path = Path(tempfile.mkdtemp(prefix="gantry-test-bench-"))
        self.name = self.path.name
        self.rootfs = self.path / "rootfs"
        for folder in ["bin", "dev", "proc", "sys", "tmp"]:
            (self.rootfs / folder).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.rootfs / "bin/busybox")
        for applet in ["cat", "sh", "sleep", "stty"]:
            (self.rootfs / "bin" / applet).symlink_to("busybox")

    def bundle(self, name, args, terminal=False):
        """A bundle with all namespaces and a cgroup of its own, on the shared root."""
        folder = self.path / "made" / name
        folder.mkdir(parents=True)
        namespaces = ["pid", "network", "ipc", "uts", "mount"]
        config = {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": terminal,
                "user": {"uid": 0, "gid": 0},
                "args": args,
                "env": ["PATH=/bin"],
                "cwd": "/",
            },
            "root": {"path": str(self.rootfs), "readonly": False},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["size=65536k"]},
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "source": "devpts",
                    "options": ["newinstance", "ptmxmode=0666", "mode=0620"],
                },
            ],
            "linux": {
                "cgroupsPath": f"/{self.name}/{name}",
                "namespaces": [{"type": kind} for kind in namespaces],
            },
        }
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def remove(self):
        """Ends by its id whatever still belongs to this folder, then removes folder, mounts and cgroups."""
        for pid in belonging_to(str(self.path), self.name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until("processes to end", lambda: not belonging_to(str(self.path), self.name))
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(str(self.path))]):
            subprocess.run(["umount", "-l", mount], check=False)
        # Both versions; other cgroups come and go meanwhile, so only known places are looked at.
        hierarchies = ["/sys/fs/cgroup", *(entry.path for entry in os.scandir("/sys/fs/cgroup") if entry.is_dir())]
        for hierarchy in hierarchies:
            for folder, _, _ in os.walk(f"{hierarchy}/{self.name}", topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        shutil.rmtree(self.path, ignore_errors=True)


def belonging_to(folder, cgroup):
    """The pids whose command line or working directory is in the folder, or which are in the cgroup."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = Path(entry.path, "cmdline").read_text(errors="replace")
            # A zombie has neither.
            where = os.readlink(f"{entry.path}/cwd") + Path(entry.path, "cgroup").read_text()
            if folder in text or folder in where or cgroup in where:
                found.append(int(entry.name))
    return found


def wait_until(what, condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"bench: waited in vain for {what}")
        time.sleep(0.01)


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def memory_kib(pid):
    """PSS, RSS and private memory of a process in KiB (proc_pid_smaps(5))."""
    sums = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        sums[name] = int(value.split()[0])
    return sums["Pss"], sums["Rss"], sums["Private_Clean"] + sums["Private_Dirty"]


def machine():
    """One line on where and when: figures without it mean little."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "unknown processor",
    )
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} × {model}, Linux {os.uname().release}, load {load:.1f} before"
