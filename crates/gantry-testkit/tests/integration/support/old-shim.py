#!/usr/bin/env python3
"""Stands in for containerd-shim 0.2.9: the same arguments, files, FIFOs and order of things, and nothing else.

Run as `containerd-shim ID BUNDLE RUNTIME` in the process's folder.
"""

import ctypes
import json
import os
import subprocess
import sys
import threading

PR_SET_CHILD_SUBREAPER = 36

container, bundle, runtime = sys.argv[1:]
here = os.getcwd()
exit_fifo = os.open("exit", os.O_WRONLY)
control = os.fdopen(os.open("control", os.O_RDWR), "r")
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
with open("process.json") as file:
    process = json.load(file)

# Both ends of each, so that neither opening nor a client that goes away matters.
ends = {name: os.open(process["containerd" + name], os.O_RDWR) for name in ("Stdin", "Stdout", "Stderr")}
stdin = os.open(process["containerdStdin"], os.O_RDONLY)


def obey():
    for line in control:
        if line.startswith("0 "):
            os.close(ends["Stdin"])


threading.Thread(target=obey, daemon=True).start()
arguments = [runtime, "--log", here + "/log.json", "--log-format", "json", *(process["runtimeArgs"] or [])]
if process["exec"]:
    arguments += ["exec", "-d", "--process", here + "/process.json"]
else:
    arguments += ["create", "--bundle", bundle]
arguments += ["--pid-file", here + "/pid", container]
created = subprocess.run(arguments, cwd=bundle, stdin=stdin, stdout=ends["Stdout"], stderr=ends["Stderr"])
if created.returncode != 0:
    sys.exit(0)
os.close(stdin)
with open("pid") as file:
    main = int(file.read())

while True:
    pid, status = os.wait()
    if pid == main:
        break
with open("exitStatus", "w") as file:
    file.write(str(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)))
if not process["exec"]:
    base = [runtime, *(process["runtimeArgs"] or [])]
    for last in (["kill", "--all", container, "SIGKILL"], ["delete", container]):
        subprocess.run(base + last, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
os._exit(0)
