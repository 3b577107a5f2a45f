"""What the conformance tests share: a daemon to talk to, bundles and FIFOs, and the list of a module's cases.

A case is a function with `@case` that takes a `World`; `run.py` runs those of one module, one after another. Bundles share
one root, which the Rust test has made.
"""

import contextlib
import copy
import functools
import json
import os
import queue
import shutil
import threading
import time

import grpc

# `types` is a module of Python's own; the generated one has another name.
import health_pb2_grpc
import types_pb2
import types_pb2_grpc

SECONDS = 30
INIT = "init"
CASES = []

CONTAINER_NOT_FOUND = "containerd: container not found"
PROCESS_NOT_FOUND = "containerd: process not found for container"
Code = grpc.StatusCode


def case(function):
    """Marks what `run.py` runs."""
    CASES.append(function)
    return function


@contextlib.contextmanager
def fails(code, text, exact=False):
    """Insists that what is called in it fails with this code and this text, or with one that contains it."""
    try:
        yield
    except grpc.RpcError as error:
        said = (error.code(), error.details())
        fits = error.details() == text if exact else text in error.details()
        assert error.code() == code and fits, f"expected {code} and {text!r}: {said}"
    else:
        raise AssertionError(f"expected {code} and {text!r}")


def wait_for(what, condition, seconds=SECONDS):
    """Until the condition holds; what it returned then."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)
    return found


class Events:
    """A subscription, read by a thread of its own so that every wait has a limit."""

    def __init__(self, api, **request):
        self.stream = api.Events(types_pb2.EventsRequest(**request))
        # The headers come when the server has subscribed us: nothing is missed from here on.
        self.stream.initial_metadata()
        self.queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for event in self.stream:
                self.queue.put(event)
        except grpc.RpcError:
            pass

    def next(self):
        return self.queue.get(timeout=SECONDS)

    def up_to(self, kind, container, process=""):
        """The next events of a container up to and with this one."""
        seen = []
        while True:
            event = self.next()
            if event.id == container:
                seen.append(event)
                if (event.type, event.pid) == (kind, process):
                    return seen

    def exit_of(self, container, process=INIT):
        return self.up_to("exit", container, process)[-1].status

    def cancel(self):
        self.stream.cancel()


class Streams:
    """FIFOs for a process, whose outputs are read in the background from open to end of file."""

    def __init__(self, folder, name, tty=False):
        self.paths = {stream: os.path.join(folder, f"{name}-{stream}") for stream in ("stdin", "stdout", "stderr")}
        self.text = {}
        self.news = threading.Condition()
        self.threads = []
        self.outputs = ("stdout",) if tty else ("stdout", "stderr")
        for stream in ("stdin", *self.outputs):
            os.mkfifo(self.paths[stream], 0o600)
        for stream in self.outputs:
            self.text[stream] = ""
            self.threads.append(threading.Thread(target=self._collect, args=(stream,), daemon=True))
            self.threads[-1].start()

    def _collect(self, stream):
        with open(self.paths[stream], encoding="utf-8", newline="") as fifo:
            while part := os.read(fifo.fileno(), 65536):
                with self.news:
                    self.text[stream] += part.decode()
                    self.news.notify_all()

    def wait_for(self, text, stream="stdout"):
        with self.news:
            seen = self.news.wait_for(lambda: text in self.text[stream], SECONDS)
        assert seen, f"{text!r} did not come; {self.text!r} did"

    def finish(self):
        """All output, once both are closed."""
        for thread in self.threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), "an output was not closed"
        return tuple(self.text[stream] for stream in self.outputs)


class World:
    """One daemon and the means to make containers in it."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.address = arguments.address
        # For a Unix socket grpcio sends the socket's path as :authority, as dockerd of 2017 did: no option, on purpose.
        self.channel = grpc.insecure_channel(self.address)
        self.api = types_pb2_grpc.APIStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)
        with open(os.path.join(arguments.bundle, "config.json"), encoding="utf-8") as file:
            self.template = json.load(file)
        self.rootfs = os.path.join(arguments.bundle, "rootfs")
        self.cgroup = self.template["linux"]["cgroupsPath"]
        self.number = 0

    @functools.cached_property
    def events(self):
        """All events from the first use on."""
        return Events(self.api)

    # === what is sent ===

    def new_id(self):
        self.number += 1
        return f"{arguments_id(self.arguments)}.{self.number}"

    def bundle(self, *args, change=None):
        """A new bundle's folder and the id of the container that is to be made of it."""
        container = self.new_id()
        folder = os.path.join(self.arguments.work, container)
        os.mkdir(folder)
        config = copy.deepcopy(self.template)
        config["root"]["path"] = self.rootfs
        config["process"]["args"] = list(args) or ["sleep", "1000"]
        config["linux"]["cgroupsPath"] = f"{self.cgroup}-{self.number}"
        if change is not None:
            change(config)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        return container, folder

    def create(self, container, folder, **fields):
        assert self.events
        request = types_pb2.CreateContainerRequest(id=container, bundlePath=folder, **fields)
        return self.api.CreateContainer(request, timeout=SECONDS).container

    def add(self, container, process, *args, **fields):
        fields.setdefault("env", ["PATH=/bin"])
        fields.setdefault("cwd", "/")
        fields.setdefault("user", types_pb2.User())
        request = types_pb2.AddProcessRequest(id=container, pid=process, args=args, **fields)
        return self.api.AddProcess(request, timeout=SECONDS).systemPid

    def signal(self, container, number, process=INIT):
        self.api.Signal(types_pb2.SignalRequest(id=container, pid=process, signal=number), timeout=SECONDS)

    def state(self, container=""):
        return self.api.State(types_pb2.StateRequest(id=container), timeout=SECONDS)

    def process(self, container, process):
        """A process of a container, as it is listed."""
        (found,) = [entry for entry in self.state(container).containers[0].processes if entry.pid == process]
        return found

    def end(self, container):
        """SIGKILL, and its report."""
        self.signal(container, 9)
        assert self.events.exit_of(container) == 137

    @contextlib.contextmanager
    def running(self, *args, change=None, **fields):
        """A container that runs meanwhile."""
        container, folder = self.bundle(*args, change=change)
        self.create(container, folder, **fields)
        try:
            yield container
        finally:
            self.end(container)
            shutil.rmtree(folder)

    # === stand-ins ===

    def program(self, name, script):
        """A shell script in the place of a program; `$RUNTIME` in it is the real runtime with its arguments."""
        path = os.path.join(self.arguments.work, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nRUNTIME='{self.arguments.runtime}'\n{script}\n")
        os.chmod(path, 0o755)
        return path

    def observed_runtime(self, name):
        """A runtime that notes its command lines, its standard input of `update` and the process files of `exec`."""
        note = os.path.join(self.arguments.work, name)
        script = f"""
            echo "$*" >>{note}.commands
            for argument; do
                [ "$previous" = --process ] && cp "$argument" {note}.process
                case $argument in update) update=yes ;; esac
                previous=$argument
            done
            if [ -n "$update" ]; then
                cat >{note}.input
                exec "$RUNTIME" "$@" <{note}.input
            fi
            exec "$RUNTIME" "$@"
        """
        return Observed(note, self.program(name, script))


class Observed:
    def __init__(self, note, path):
        self.note = note
        self.path = path

    def commands(self, subcommand):
        with open(f"{self.note}.commands", encoding="utf-8") as file:
            return [line.split() for line in file if f" {subcommand} " in line]

    def json(self, kind):
        with open(f"{self.note}.{kind}", encoding="utf-8") as file:
            return json.load(file)


def arguments_id(arguments):
    return os.path.basename(os.path.dirname(arguments.work))


def expected_fields(message, **fields):
    """Insists on a message's fields, all of which must be named."""
    names = {field.name for field in message.DESCRIPTOR.fields}
    assert names == set(fields), f"fields not compared: {names ^ set(fields)}"
    for name, expected in fields.items():
        found = getattr(message, name)
        found = list(found) if isinstance(expected, list) else found
        assert found == expected, f"{name}: {found!r}, not {expected!r}"
