"""Signal and UpdateProcess."""

import fcntl
import os
import struct
import termios

import types_pb2

from harness import (
    CONTAINER_NOT_FOUND,
    PROCESS_NOT_FOUND,
    SECONDS,
    Code,
    Streams,
    case,
    fails,
    wait_for,
)


def update(world, container, process, **fields):
    request = types_pb2.UpdateProcessRequest(id=container, pid=process, **fields)
    world.api.UpdateProcess(request, timeout=SECONDS)


def size_of(pid):
    """Rows and columns of a process's terminal."""
    with open(f"/proc/{pid}/fd/0", "rb", buffering=0, opener=without_control) as terminal:
        return struct.unpack("4H", fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))[:2]


def without_control(path, flags):
    return os.open(path, flags | os.O_NOCTTY | os.O_NONBLOCK)


# === Signal ===


@case
def signals_reach_the_one_that_is_meant(world):
    container, folder = world.bundle("sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done")
    streams = Streams(folder, "init")
    world.create(container, folder, **streams.paths)
    streams.wait_for("ready\n")
    world.add(container, "e1", "sleep", "1000")
    world.add(container, "e2", "sleep", "1000")
    world.signal(container, 15, "e2")
    assert world.events.exit_of(container, "e2") == 143
    world.signal(container, 10)
    ends = [(event.pid, event.status) for event in world.events.up_to("exit", container, "init") if event.type == "exit"]
    # What is left of its execs is killed with it, and told first.
    assert ends == [("e1", 137), ("init", 3)], ends


@case
def signals_to_nobody(world):
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        world.signal("nobody", 15)
    with world.running() as container:
        with fails(Code.UNKNOWN, PROCESS_NOT_FOUND, exact=True):
            world.signal(container, 15, "nobody")


@case
def numbers_that_are_no_signal(world):
    with world.running() as container:
        for number in (65, 1000, 0xFFFFFFFF):
            with fails(Code.UNKNOWN, "invalid argument", exact=True):
                world.signal(container, number)
        # Zero asks whether it is there.
        world.signal(container, 0)


@case
def a_process_that_has_ended(world):
    """Its output is still held open by a child, so that its exit cannot be told yet."""
    with world.running() as container:
        streams = Streams(os.path.join(world.arguments.work, container), "e1")
        pid = world.add(container, "e1", "sh", "-c", "sleep 1000 & echo started; exit 0", **streams.paths)
        streams.wait_for("started\n")
        while os.path.exists(f"/proc/{pid}"):
            pass
        with fails(Code.UNKNOWN, "no such process", exact=True):
            world.signal(container, 15, "e1")


# === UpdateProcess ===


@case
def input_is_closed(world):
    with world.running() as container:
        streams = Streams(os.path.join(world.arguments.work, container), "e1")
        world.add(container, "e1", "cat", **streams.paths)
        with open(streams.paths["stdin"], "w", encoding="ascii") as stdin:
            stdin.write("all of it")
        streams.wait_for("all of it")
        # The shim's own end keeps the end of file away until it is closed too.
        update(world, container, "e1", closeStdin=True)
        assert world.events.exit_of(container, "e1") == 0
        assert streams.finish() == ("all of it", "")


@case
def terminals_have_a_size(world):
    """Width and height, each alone too, and together with the closing of the input."""

    def terminal(config):
        config["process"]["terminal"] = True

    script = "trap 'stty size' WINCH; echo ready; while :; do read line; done"
    container, folder = world.bundle("sh", "-c", script, change=terminal)
    streams = Streams(folder, "init", tty=True)
    world.create(container, folder, **streams.paths)
    streams.wait_for("ready\r\n")
    update(world, container, "init", width=111, height=33)
    streams.wait_for("33 111\r\n")
    update(world, container, "init", width=99, height=22, closeStdin=True)
    streams.wait_for("22 99\r\n")
    # Both zero: no change.
    update(world, container, "init")
    pid = world.process(container, "init").systemPid
    assert size_of(pid) == (22, 99), size_of(pid)
    update(world, container, "init", width=80)
    wait_for("the width alone", lambda: size_of(pid) == (0, 80))
    update(world, container, "init", height=25)
    wait_for("the height alone", lambda: size_of(pid) == (25, 0))
    world.end(container)


@case
def a_size_without_a_terminal(world):
    with world.running() as container:
        update(world, container, "init", width=80, height=25)


@case
def updates_of_nobody(world):
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        update(world, "nobody", "init", closeStdin=True)
    with world.running() as container:
        with fails(Code.UNKNOWN, PROCESS_NOT_FOUND, exact=True):
            update(world, container, "nobody", width=1)
