"""AddProcess: every field of the request as the new process sees it and as State shows it, and every way to fail."""

import json
import os

import types_pb2

from harness import (
    CONTAINER_NOT_FOUND,
    SECONDS,
    Code,
    Streams,
    case,
    expected_fields,
    fails,
    wait_for,
)


def status_of(pid):
    """What the kernel says of a process, by the names of proc(5)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


@case
def a_process_is_what_was_asked_for(world):
    def privileged(config):
        config["process"]["noNewPrivileges"] = False

    with world.running(change=privileged) as container:
        folder = os.path.join(world.arguments.work, container)
        streams = Streams(folder, "e1")
        wanted = {
            "user": types_pb2.User(uid=65534, gid=65533, additionalGids=[7, 300]),
            "env": ["PATH=/bin", "WORD=two words"],
            "cwd": "/tmp",
            "capabilities": ["CAP_KILL", "CAP_CHOWN"],
            "noNewPrivileges": True,
            "rlimits": [types_pb2.Rlimit(type="RLIMIT_NOFILE", soft=100, hard=200)],
        }
        args = ["sh", "-c", "read line; echo $line in $PWD with $WORD; echo err >&2; sleep 1000"]
        pid = world.add(container, "e1", *args, **wanted, **streams.paths)
        expected_fields(
            world.process(container, "e1"),
            pid="e1",
            terminal=False,
            args=args,
            systemPid=pid,
            apparmorProfile="",
            selinuxLabel="",
            **wanted,
            **streams.paths,
        )
        with open(streams.paths["stdin"], "w", encoding="ascii") as stdin:
            stdin.write("hello\n")
        streams.wait_for("hello in /tmp with two words\n")
        streams.wait_for("err\n", "stderr")
        status = status_of(pid)
        assert status["Uid"].split() == ["65534"] * 4 and status["Gid"].split() == ["65533"] * 4, status
        assert status["Groups"].split() == ["7", "300"], status
        assert (status["CapBnd"], status["NoNewPrivs"]) == ("0000000000000021", "1"), status

        def environment():
            with open(f"/proc/{pid}/environ", encoding="ascii") as file:
                return set(file.read().split("\0"))

        # In the middle of an execve there is none.
        wait_for("its environment", lambda: environment() >= {"WORD=two words", "PATH=/bin"})
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            (limit,) = [line.split() for line in file if line.startswith("Max open files")]
        assert limit[3:5] == ["100", "200"], limit


@case
def its_capabilities_are_those_and_no_others(world):
    """An empty list is no capability at all, also for root."""
    with world.running() as container:
        for process, names, bits in (("e1", [], "0" * 16), ("e2", ["CAP_KILL"], "0000000000000020")):
            status = status_of(world.add(container, process, "sleep", "1000", capabilities=names))
            assert (status["CapBnd"], status["CapEff"], status["CapPrm"]) == (bits, bits, bits), status
            assert list(world.process(container, process).capabilities) == names


@case
def labels_reach_the_runtime_and_are_shown(world):
    """Whether this kernel has AppArmor or SELinux or neither: the real runtime gets the record without them."""
    note = os.path.join(world.arguments.work, "labels.process")
    script = f"""
        for argument; do
            if [ "$previous" = --process ]; then
                cp "$argument" {note}
                sed 's/"apparmorProfile":"[^"]*",*//; s/"selinuxLabel":"[^"]*",*//' {note} >{note}.plain
                set -- "$@" --process {note}.plain
            else
                [ "$argument" = --process ] || set -- "$@" "$argument"
            fi
            previous=$argument
            shift
        done
        exec "$RUNTIME" "$@"
    """
    fields = {"runtime": world.program("label-runtime", script), "runtimeArgs": world.arguments.runtime_arg}
    labels = {"apparmorProfile": "gantry-test-profile", "selinuxLabel": "system_u:system_r:gantry_test_t:s0"}
    with world.running(**fields) as container:
        world.add(container, "e1", "sleep", "1000", **labels)
        with open(note, encoding="utf-8") as file:
            told = json.load(file)
        shown = world.process(container, "e1")
        for name, label in labels.items():
            assert told[name] == label and getattr(shown, name) == label, (name, told, shown)


@case
def a_terminal(world):
    with world.running() as container:
        streams = Streams(os.path.join(world.arguments.work, container), "e1", tty=True)
        world.add(container, "e1", "sh", "-c", "test -t 0 && test -t 2 && echo yes >&2", terminal=True, **streams.paths)
        assert world.events.exit_of(container, "e1") == 0
        assert streams.finish() == ("yes\r\n",) and not os.path.exists(streams.paths["stderr"])


@case
def without_a_user_it_is_root(world):
    """0.2 crashed."""
    with world.running() as container:
        request = types_pb2.AddProcessRequest(
            id=container, pid="e1", args=["sleep", "1000"], env=["PATH=/bin"], cwd="/"
        )
        pid = world.api.AddProcess(request, timeout=SECONDS).systemPid
        assert status_of(pid)["Uid"].split() == ["0"] * 4


@case
def the_start_is_told_before_the_exit(world):
    with world.running() as container:
        world.add(container, "e1", "sh", "-c", "exit 5")
        seen = world.events.up_to("exit", container, "e1")
        keys = [(event.type, event.pid, event.status) for event in seen]
        assert keys == [("start-container", "", 0), ("start-process", "e1", 0), ("exit", "e1", 5)], keys


# === failures ===


@case
def ids_that_are_none(world):
    with world.running() as container:
        with fails(Code.UNKNOWN, "container id cannot be empty", exact=True):
            world.add("", "e1", "true")
        with fails(Code.UNKNOWN, "process id cannot be empty", exact=True):
            world.add(container, "", "true")
        for process in (".", "..", "a/b", "../up"):
            with fails(Code.INVALID_ARGUMENT, "id"):
                world.add(container, process, "true")


@case
def a_container_of_nobody(world):
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        world.add("nobody", "e1", "true")


@case
def an_id_in_use(world):
    with world.running() as container:
        world.add(container, "e1", "sleep", "1000")
        for process in ("e1", "init"):
            with fails(Code.ALREADY_EXISTS, f"/{container}/{process}: file exists"):
                world.add(container, process, "true")
        # Neither of the two has noticed.
        assert len(world.state(container).containers[0].processes) == 2


@case
def a_command_that_cannot_be_run(world):
    with world.running() as container:
        try:
            world.add(container, "e1", "no-such-command")
            raise AssertionError("it ran")
        except Exception as error:  # pylint: disable=broad-except
            assert error.code() == Code.UNKNOWN and "no-such-command" in error.details(), error
        # The id is free at once, and nothing was told of it.
        world.add(container, "e1", "sh", "-c", "exit 6")
        keys = [(event.type, event.pid) for event in world.events.up_to("exit", container, "e1")]
        assert keys == [("start-container", ""), ("start-process", "e1"), ("exit", "e1")], keys


@case
def no_arguments(world):
    """They reach the runtime, which says what it thinks of them; nothing is left."""
    with world.running() as container:
        try:
            world.add(container, "e1")
            raise AssertionError("it ran")
        except Exception as error:  # pylint: disable=broad-except
            assert error.details(), error
        assert [process.pid for process in world.state(container).containers[0].processes] == ["init"]


@case
def init_has_just_ended(world):
    container, folder = world.bundle("sh", "-c", "read line")
    streams = Streams(folder, "init")
    world.create(container, folder, **streams.paths)
    os.close(os.open(streams.paths["stdin"], os.O_WRONLY))
    world.api.UpdateProcess(types_pb2.UpdateProcessRequest(id=container, pid="init", closeStdin=True), timeout=SECONDS)
    world.events.exit_of(container)
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        world.add(container, "e1", "true")
    wait_for("the end of its streams", lambda: streams.finish() == ("", ""))
