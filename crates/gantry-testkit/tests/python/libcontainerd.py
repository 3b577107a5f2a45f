"""What of dockerd 1.12 to 17.03 talks to containerd: the same calls in the same order, with the same expectations.

It reads one stream of events from the moment in `event.ts` on, writes a bundle with FIFOs for each container, and deletes
that at the exit of its init. The daemon is its own, see `docker_containerd`.
"""

import collections
import json
import os
import queue
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

# `types` is a module of Python's own; the generated one has another name.
import types_pb2
import types_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from docker_containerd import SECONDS, Daemon
from fifos import Streams

# dockerd's own times.
STOP_SECONDS, RESTORE_POLL_SECONDS = 10, 10
UNKNOWN_STATUS = 255

INIT = "init"


class StartFailed(Exception):
    """A container or exec that could not be started, with the status that docker gives it."""

    def __init__(self, error, command):
        super().__init__(error.details())
        text = error.details().lower()
        missing = ("executable file not found", "no such file or directory", "system cannot find the file specified")
        if command.lower() in text and any(known in text for known in missing):
            self.status = 127
        elif "permission denied" in text:
            self.status = 126
        elif "not a directory" in text:
            self.status = 127
        else:
            self.status = 128


class Process:
    """An exec, or the init of a container."""

    def __init__(self, process, tty):
        self.process = process
        self.tty = tty
        self.system_pid = 0
        self.streams = None
        self.exits = queue.Queue()

    def wait(self, seconds=SECONDS):
        """The exit status, after all output was copied."""
        status = self.exits.get(timeout=seconds)
        self.exits.put(status)
        if isinstance(status, Exception):
            raise status
        return status


class Container(Process):
    def __init__(self, container, bundle, tty):
        super().__init__(INIT, tty)
        self.id = container
        self.bundle = bundle
        self.paused = False
        self.oom_killed = False
        self.execs = {}
        self.changes = queue.Queue()
        # Held while CreateContainer runs: its events wait, and with them those of everybody else.
        self.lock = threading.RLock()


class Client:
    """One life of dockerd."""

    def __init__(self, root, programs, runtime_args):
        self.root = root
        self.runtime_args = runtime_args
        self.daemon = Daemon(root, programs)
        self.containers = {}
        self.unknown_events = []
        self.event_log = collections.defaultdict(list)
        # What happens after an exit must not hold up the events.
        self.after_exit = ThreadPoolExecutor()
        self.api = types_pb2_grpc.APIStub(self.daemon.channel)
        threading.Thread(target=self._read_events, daemon=True).start()

    # === events ===

    def _event_timestamp(self):
        timestamp = Timestamp()
        try:
            with open(os.path.join(self.root, "event.ts"), encoding="ascii") as file:
                timestamp.FromJsonString(file.read())
        except FileNotFoundError:
            timestamp.GetCurrentTime()
        return timestamp

    def _read_events(self):
        since = self._event_timestamp()
        while True:
            try:
                request = types_pb2.EventsRequest(timestamp=since)
                for event in self.api.Events(request, wait_for_ready=True):
                    self._on_event(event)
            except grpc.RpcError:
                pass
            except ValueError:
                # The channel was closed: the end of this life.
                return
            time.sleep(0.05)
            since = self._event_timestamp()

    def _on_event(self, event):
        container = self.containers.get(event.id)
        if container is None:
            self.unknown_events.append((event.type, event.id, event.pid))
            return
        with container.lock:
            self.event_log[event.id].append((event.type, event.pid, event.status))
            if event.type == "exit" and event.pid == INIT:
                self._on_init_exit(container, event)
            elif event.type == "exit":
                self._on_exec_exit(container, event)
            elif event.type in ("pause", "resume"):
                container.paused = event.type == "pause"
                container.changes.put(event.type)
            elif event.type == "oom":
                container.oom_killed = True
        path = os.path.join(self.root, "event.ts")
        with open(path + ".tmp", "w", encoding="ascii") as file:
            file.write(event.timestamp.ToJsonString())
        os.rename(path + ".tmp", path)

    def _on_exec_exit(self, container, event):
        process = container.execs.pop(event.pid)
        process.streams.remove()
        self.after_exit.submit(self._finish, process, event.status)

    def _on_init_exit(self, container, event):
        assert not container.execs, f"init's exit came before those of {list(container.execs)}"
        # The container's records are gone before its exit is told; its bundle is deleted at once.
        assert not os.path.exists(os.path.join(self.root, "containerd", container.id))
        shutil.rmtree(container.bundle)
        del self.containers[container.id]
        self.after_exit.submit(self._finish, container, event.status)

    @staticmethod
    def _finish(process, status):
        try:
            process.streams.finish(SECONDS)
            process.exits.put(status)
        except AssertionError as error:
            process.exits.put(error)

    # === run and exec ===

    def run(self, container_id, config, tty=False, stdin=False):
        """Makes the bundle and starts the container."""
        bundle = os.path.join(self.root, container_id)
        container = Container(container_id, bundle, tty)
        os.mkdir(bundle, 0o700)
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        container.streams = Streams(bundle, INIT, tty).make().open()
        self.containers[container_id] = container
        with container.lock:
            container.streams.copy()
            try:
                answer = self.api.CreateContainer(
                    types_pb2.CreateContainerRequest(
                        id=container_id,
                        bundlePath=bundle,
                        runtime="docker-runc",
                        runtimeArgs=self.runtime_args,
                        **container.streams.paths,
                    )
                )
            except grpc.RpcError as error:
                container.streams.give_up()
                del self.containers[container_id]
                shutil.rmtree(bundle)
                raise StartFailed(error, config["process"]["args"][0]) from error
            pids = [process.systemPid for process in answer.container.processes if process.pid == INIT]
            (container.system_pid,) = pids
            assert container.system_pid > 0
        if not stdin:
            self.close_stdin(container, INIT, container.streams)
        return container

    def execute(self, container, exec_id, args, tty=False, stdin=False):
        """`docker exec`: the copying begins after the answer."""
        process = Process(exec_id, tty)
        process.streams = Streams(container.bundle, exec_id, tty).make().open()
        with container.lock:
            container.execs[exec_id] = process
            try:
                answer = self.api.AddProcess(
                    types_pb2.AddProcessRequest(
                        id=container.id,
                        pid=exec_id,
                        terminal=tty,
                        args=args,
                        env=["PATH=/bin:/usr/bin", "TERM=xterm"],
                        cwd="/",
                        user=types_pb2.User(uid=0, gid=0, additionalGids=[0]),
                        capabilities=["CAP_KILL", "CAP_CHOWN"],
                        rlimits=[types_pb2.Rlimit(type="RLIMIT_NOFILE", soft=512, hard=1024)],
                        **process.streams.paths,
                    ),
                    timeout=SECONDS,
                )
            except grpc.RpcError as error:
                process.streams.give_up()
                process.streams.remove()
                del container.execs[exec_id]
                failure = StartFailed(error, args[0])
                failure.status = 126
                raise failure from error
            process.system_pid = answer.systemPid
            assert process.system_pid > 0
            process.streams.copy()
        if not stdin:
            self.close_stdin(container, exec_id, process.streams)
        return process

    def close_stdin(self, container, process, streams):
        streams.close_stdin()
        try:
            self.api.UpdateProcess(types_pb2.UpdateProcessRequest(id=container.id, pid=process, closeStdin=True))
        except grpc.RpcError as error:
            known = ("container not found", "process not found")
            assert any(text in error.details() for text in known), error.details()

    # === what users ask for ===

    def signal(self, container, number, process=INIT):
        try:
            self.api.Signal(types_pb2.SignalRequest(id=container.id, pid=process, signal=number), timeout=SECONDS)
        except grpc.RpcError as error:
            known = ("container not found", "no such process")
            assert any(text in error.details() for text in known), error.details()

    def stop(self, container, seconds=STOP_SECONDS):
        self.signal(container, signal.SIGTERM)
        try:
            return container.wait(seconds)
        except queue.Empty:
            self.signal(container, signal.SIGKILL)
            return container.wait()

    def set_paused(self, container, paused):
        """Waits for the event, dockerd without any limit."""
        status = "paused" if paused else "running"
        request = types_pb2.UpdateContainerRequest(id=container.id, pid=INIT, status=status)
        self.api.UpdateContainer(request, timeout=SECONDS)
        change = container.changes.get(timeout=SECONDS)
        assert change == ("pause" if paused else "resume"), change

    def resize(self, container, process, width, height):
        request = types_pb2.UpdateProcessRequest(id=container.id, pid=process, width=width, height=height)
        self.api.UpdateProcess(request, timeout=SECONDS)

    def pids(self, container):
        answer = self.api.State(types_pb2.StateRequest(id=container.id), timeout=SECONDS)
        return list(answer.containers[0].pids)

    def stats(self, container):
        answer = self.api.Stats(types_pb2.StatsRequest(id=container.id), timeout=SECONDS)
        # dockerd reads these without looking.
        groups = answer.cgroup_stats
        for message, field in (
            (answer, "cgroup_stats"),
            (answer, "timestamp"),
            (groups, "blkio_stats"),
            (groups, "cpu_stats"),
            (groups, "memory_stats"),
            (groups.cpu_stats, "cpu_usage"),
            (groups.cpu_stats, "throttling_data"),
            (groups.memory_stats, "usage"),
        ):
            assert message.HasField(field), field
        return answer

    def update(self, container, **resources):
        resources = types_pb2.UpdateResource(**resources)
        request = types_pb2.UpdateContainerRequest(id=container.id, pid=INIT, resources=resources)
        self.api.UpdateContainer(request, timeout=SECONDS)

    # === the next life ===

    def restore(self, container_id, tty, live, stop_seconds=STOP_SECONDS):
        """Takes up a container that the life before believed running; its status if it has ended."""
        bundle = os.path.join(self.root, container_id)
        container = Container(container_id, bundle, tty)
        container.streams = Streams(bundle, INIT, tty)
        last = self._last_event(container_id)
        try:
            answer = self.api.State(types_pb2.StateRequest(id=container_id), timeout=SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            assert "container not found" in error.details(), error.details()
            return container, self._status_of_the_gone(container, last)
        (state,) = answer.containers
        assert state.bundlePath == bundle, state
        (init,) = [process for process in state.processes if process.pid == INIT]
        assert init.terminal == tty and state.status != "Stopped", state
        container.system_pid = init.systemPid
        container.streams.open().copy()
        self.containers[container_id] = container
        if last is not None and last.type in ("pause", "resume"):
            container.paused = last.type == "pause"
        if live:
            return container, None
        return container, self.stop(container, stop_seconds)

    def _last_event(self, container_id):
        for since in (self._event_timestamp(), Timestamp()):
            request = types_pb2.EventsRequest(timestamp=since, storedOnly=True, id=container_id)
            # Ends by itself.
            events = list(self.api.Events(request, timeout=SECONDS, wait_for_ready=True))
            assert all(event.id == container_id for event in events), events
            if events:
                return events[-1]
        return None

    def _status_of_the_gone(self, container, last):
        deadline = time.monotonic() + RESTORE_POLL_SECONDS
        while last is None or (last.type, last.pid) != ("exit", INIT):
            if time.monotonic() > deadline:
                return UNKNOWN_STATUS
            time.sleep(0.1)
            last = self._last_event(container.id)
        return last.status
