"""The life of a container through gRPC, from Python, with stubs that grpcio-tools made from Gantry's .proto files.

The bundle reads a line, answers "got <line>" and exits with 3. Prints "ok" at the end; any other end is a failure.
"""

import argparse
import os
import queue
import threading

import grpc

# `types` is a module of Python's own; the generated one has another name.
import health_pb2
import health_pb2_grpc
import types_pb2
import types_pb2_grpc

SECONDS = 20


class Events:
    """A subscription, read by a thread of its own so that every wait has a limit."""

    def __init__(self, api):
        self.stream = api.Events(types_pb2.EventsRequest())
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

    def expect(self, kind, container, process, status):
        event = self.queue.get(timeout=SECONDS)
        seen = (event.type, event.id, event.pid, event.status)
        assert seen == (kind, container, process, status), seen
        assert event.timestamp.seconds > 0, event


class Streams:
    """FIFOs for a process. Both ends of the outputs are read in the background, from open to end of file."""

    def __init__(self, folder, name):
        self.paths = {}
        self.output = {}
        self.threads = []
        for stream in ("stdin", "stdout", "stderr"):
            path = os.path.join(folder, f"{name}-{stream}")
            os.mkfifo(path, 0o600)
            self.paths[stream] = path
        for stream in ("stdout", "stderr"):
            thread = threading.Thread(target=self._collect, args=(stream,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _collect(self, stream):
        with open(self.paths[stream], encoding="utf-8") as fifo:
            self.output[stream] = fifo.read()

    def finish(self):
        for thread in self.threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), "an output was not closed"
        return self.output["stdout"], self.output["stderr"]


def expect_error(call, code, text):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code and text in error.details(), (error.code(), error.details())
    else:
        raise AssertionError(f"expected an error with {text!r}")


def life(channel, container, bundle):
    api = types_pb2_grpc.APIStub(channel)
    health = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
    version = api.GetServerVersion(types_pb2.GetServerVersionRequest(), timeout=SECONDS)
    assert version.major > 0 or version.minor > 0, version

    events = Events(api)
    streams = Streams(bundle, "init")
    created = api.CreateContainer(
        types_pb2.CreateContainerRequest(id=container, bundlePath=bundle, labels=["from=python"], **streams.paths),
        timeout=SECONDS,
    ).container
    assert created.id == container and created.status == "running", created
    events.expect("start-container", container, "", 0)

    listed = api.State(types_pb2.StateRequest(), timeout=SECONDS)
    assert [(c.id, c.bundlePath, list(c.labels)) for c in listed.containers] == [(container, bundle, ["from=python"])]
    assert listed.machine.cpus > 0 and listed.machine.memory > 0, listed.machine
    init = listed.containers[0].processes[0]
    assert init.pid == "init" and os.path.exists(f"/proc/{init.systemPid}"), init

    exec_streams = Streams(bundle, "exec")
    added = api.AddProcess(
        types_pb2.AddProcessRequest(
            id=container,
            pid="exec",
            args=["sh", "-c", "echo out; echo err >&2; exit 5"],
            env=["PATH=/bin"],
            cwd="/",
            user=types_pb2.User(),
            **exec_streams.paths,
        ),
        timeout=SECONDS,
    )
    assert added.systemPid > 0
    events.expect("start-process", container, "exec", 0)
    events.expect("exit", container, "exec", 5)
    assert exec_streams.finish() == ("out\n", "err\n")

    api.AddProcess(
        types_pb2.AddProcessRequest(
            id=container, pid="sleeper", args=["sleep", "1000"], env=["PATH=/bin"], cwd="/", user=types_pb2.User()
        ),
        timeout=SECONDS,
    )
    events.expect("start-process", container, "sleeper", 0)
    api.Signal(types_pb2.SignalRequest(id=container, pid="sleeper", signal=15), timeout=SECONDS)
    events.expect("exit", container, "sleeper", 128 + 15)

    expect_error(
        lambda: api.CreateContainer(types_pb2.CreateContainerRequest(id=container, bundlePath=bundle), timeout=SECONDS),
        grpc.StatusCode.ALREADY_EXISTS,
        container,
    )
    with open(streams.paths["stdin"], "w", encoding="utf-8") as fifo:
        fifo.write("a line\n")
    events.expect("exit", container, "init", 3)
    assert streams.finish() == ("got a line\n", "")
    expect_error(
        lambda: api.State(types_pb2.StateRequest(id=container), timeout=SECONDS),
        grpc.StatusCode.UNKNOWN,
        "containerd: container not found",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--id", required=True)
    arguments = parser.parse_args()
    # For a Unix socket grpcio sends the socket's path as :authority, as dockerd of 2017 did: no option, on purpose.
    with grpc.insecure_channel(arguments.address) as channel:
        life(channel, arguments.id, arguments.bundle)
    print("ok")


main()
