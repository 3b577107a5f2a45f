#!/usr/bin/env python3
"""How fast a container's output comes out, and that all of it does.

    benches/throughput.py [MEBIBYTES]

One gibibyte unless told otherwise: straight into a file; through a FIFO into a file; and, a sixteenth of it, through a
terminal. Beside them what the machine does without any container: the same through a plain pipe and a plain terminal.
Files are on a tmpfs, so that no disk is measured, and the client's side is the shim's own contract. Needs root.
"""

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

import common

CHUNK_MIB = 64


def shim(scratch, name, bundle, stdout, terminal):
    """Runs a bundle to its end beside a shim, as the daemon would; the seconds from its start to its reported exit."""
    bins, runtime_root = common.programs(), f"--root={scratch.path}/runtime"
    folder = scratch.path / "state" / name / "init"
    folder.mkdir(parents=True)
    process = json.loads((bundle / "config.json").read_text())["process"]
    record = {"containerdStdout": str(stdout), "runtimeArgs": [runtime_root], "terminal": terminal, **process}
    (folder / "process.json").write_text(json.dumps(record))
    for fifo in ["exit", "control"]:
        os.mkfifo(folder / fifo)
    leave = os.open(folder / "exit", os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [bins / "gantry-shim", name, bundle, bins / "gantry-runtime"],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as child:
        child.stdout.read()
        if not (folder / "pid").exists():
            sys.exit(f"bench: {(folder / 'shim-log.json').read_text()}{(folder / 'log.json').read_text()}")
        began = time.monotonic()
        common.run(bins / "gantry-runtime", runtime_root, "start", name)
        # Its hang-up.
        select.select([leave], [], [])
        return time.monotonic() - began


def copied(fifo, file):
    """A client that copies a FIFO into a file; the thread ends with it."""
    thread = threading.Thread(target=subprocess.run, args=(f"cat {fifo} > {file}",), kwargs={"shell": True})
    thread.start()
    return thread


def main():
    common.begin()
    mebibytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    scratch = common.Scratch()
    try:
        common.run("mount", "-t", "tmpfs", "none", scratch.rootfs / "tmp")
        files = scratch.rootfs / "tmp"
        random = files / "random"
        random.write_bytes(os.urandom(CHUNK_MIB << 20))
        print(f"Output of a container; {common.machine()}.\n")
        print("| way | MiB | seconds | MB/s | without a container, MB/s | sha256 |")
        print("| --- | ---: | ---: | ---: | ---: | --- |")
        for number, way in enumerate(["file", "FIFO, client copies to a file", "terminal, client copies to a file"]):
            terminal = way.startswith("terminal")
            size = mebibytes // 16 if terminal else mebibytes
            times = max(size // CHUNK_MIB, 1)
            script = ("stty raw -echo; " if terminal else "") + "cat" + " /tmp/random" * times
            bundle = scratch.bundle(f"{scratch.name}-{number}", ["sh", "-c", script], terminal)
            output, stdout, client = files / f"output-{number}", files / f"fifo-{number}", None
            if way == "file":
                stdout = output
            else:
                os.mkfifo(stdout)
                client = copied(stdout, output)
            seconds = shim(scratch, f"{scratch.name}-{number}", bundle, stdout, terminal)
            if client:
                client.join()
            same = checksum([output]) == checksum([random] * times)
            megabytes = times * CHUNK_MIB * 1048576 / 1e6
            plain = megabytes / without(way, [random] * times, files / "plain")
            print(
                f"| {way} | {times * CHUNK_MIB} | {seconds:.2f} | {megabytes / seconds:.0f} | {plain:.0f} "
                f"| {'equal' if same else 'DIFFERENT'} |",
                flush=True,
            )
            if not same:
                sys.exit(1)
            output.unlink()
    finally:
        scratch.remove()


def without(way, files, output):
    """The seconds that the same takes without a container."""
    command = ["/bin/busybox", "cat", *files]
    began = time.monotonic()
    if way == "file":
        # As the shim opens it: it is a log.
        with open(output, "ab") as file:
            subprocess.run(command, stdout=file, check=True)
    elif way.startswith("FIFO"):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child, open(output, "wb") as file:
            subprocess.run(["cat"], stdin=child.stdout, stdout=file, check=True)
    else:
        master, slave = pty.openpty()
        tty.setraw(slave)
        with subprocess.Popen(command, stdout=slave) as child, open(output, "wb") as file:
            os.close(slave)
            # cat ends with EIO, as a terminal's master does when nobody has its other side.
            subprocess.run(["cat"], stdin=master, stdout=file, stderr=subprocess.DEVNULL, check=False)
            child.wait()
        os.close(master)
    seconds = time.monotonic() - began
    Path(output).unlink()
    return seconds


def checksum(files):
    with subprocess.Popen(["cat", *files], stdout=subprocess.PIPE) as source:
        return common.run("sha256sum", stdin=source.stdout)


if __name__ == "__main__":
    main()
