"""CreateContainer: every field of request and answer, and every way to fail."""

import os
import shutil
import threading

import types_pb2

from harness import SECONDS, Code, Streams, case, expected_fields, fails, wait_for


@case
def the_answer(world):
    container, folder = world.bundle("sleep", "1000")
    streams = Streams(folder, "init")
    created = world.create(
        container,
        folder,
        labels=["one=1", "two"],
        runtime=world.arguments.runtime,
        runtimeArgs=world.arguments.runtime_arg,
        **streams.paths,
    )
    (init,) = created.processes
    expected_fields(
        created,
        id=container,
        bundlePath=folder,
        processes=[init],
        status="running",
        labels=["one=1", "two"],
        # Only State fills them.
        pids=[],
        runtime=world.arguments.runtime,
    )
    process = world.template["process"]
    expected_fields(
        init,
        pid="init",
        terminal=False,
        user=types_pb2.User(uid=0, gid=0),
        args=["sleep", "1000"],
        env=process["env"],
        cwd=process["cwd"],
        systemPid=init.systemPid,
        capabilities=process["capabilities"]["effective"],
        apparmorProfile="",
        selinuxLabel="",
        noNewPrivileges=True,
        rlimits=[types_pb2.Rlimit(type="RLIMIT_NOFILE", soft=1024, hard=1024)],
        **streams.paths,
    )
    # The answer comes when init runs the command that was asked for.
    with open(f"/proc/{init.systemPid}/cmdline", encoding="ascii") as file:
        wait_for("the command", lambda: file.seek(0) or file.read() == "sleep\0" + "1000\0")
    world.end(container)
    assert streams.finish() == ("", "")


@case
def streams_are_the_processes_own(world):
    container, folder = world.bundle("sh", "-c", "read line; echo out $line; echo err $line >&2; exit 3")
    streams = Streams(folder, "init")
    world.create(container, folder, **streams.paths)
    with open(streams.paths["stdin"], "w", encoding="ascii") as stdin:
        stdin.write("words\n")
    assert world.events.exit_of(container) == 3
    assert streams.finish() == ("out words\n", "err words\n")


@case
def streams_may_be_files_and_missing(world):
    container, folder = world.bundle("sh", "-c", "cat; echo out; echo err >&2")
    paths = {stream: os.path.join(folder, stream) for stream in ("stdin", "stdout")}
    with open(paths["stdin"], "w", encoding="ascii") as stdin:
        stdin.write("in\n")
    world.create(container, folder, **paths)
    assert world.events.exit_of(container) == 0
    with open(paths["stdout"], encoding="ascii") as stdout:
        assert stdout.read() == "in\nout\n"


@case
def a_terminal_has_no_stderr(world):
    def terminal(config):
        config["process"]["terminal"] = True

    container, folder = world.bundle("sh", "-c", "test -t 0 && test -t 2 && echo yes >&2", change=terminal)
    # As dockerd does: stderr is named and not made.
    streams = Streams(folder, "init", tty=True)
    assert world.create(container, folder, **streams.paths).processes[0].terminal
    assert world.events.exit_of(container) == 0
    assert streams.finish() == ("yes\r\n",) and not os.path.exists(streams.paths["stderr"])


@case
def runtime_and_its_arguments(world):
    """With a runtime of its own a container does not get the daemon's arguments; without one it gets them."""
    observed = world.observed_runtime("own-runtime")
    arguments = [*world.arguments.runtime_arg, "--debug"]
    with world.running(runtime=observed.path, runtimeArgs=arguments) as container:
        assert world.state(container).containers[0].runtime == observed.path
        world.add(container, "e1", "sleep", "1000")
    for subcommand in ("create", "start", "exec"):
        (words,) = observed.commands(subcommand)
        before = words[: words.index(subcommand)]
        assert before[-len(arguments) :] == arguments, words
    with world.running() as container:
        assert world.state(container).containers[0].runtime == world.arguments.runtime


@case
def no_pivot_root(world):
    observed = world.observed_runtime("pivot-runtime")
    fields = {"runtime": observed.path, "runtimeArgs": world.arguments.runtime_arg}
    for wanted in (False, True):
        container, folder = world.bundle()
        try:
            world.create(container, folder, noPivotRoot=wanted, **fields)
            world.end(container)
        finally:
            # Whether the runtime can do without or not on this root: it was told.
            told = ["--no-pivot" in words for words in observed.commands("create")]
            assert told[-1] == wanted, told


@case
def bundles_of_both_generations(world):
    """The capabilities of dockerd's bundles up to 17.03 are one flat list; the built-in runtime reads it too."""
    if os.path.basename(world.arguments.runtime) != "gantry-runtime":
        return

    def flat(config):
        config["process"]["capabilities"] = ["CAP_KILL"]

    with world.running(change=flat) as container:
        init = world.process(container, "init")
        assert list(init.capabilities) == ["CAP_KILL"]
        with open(f"/proc/{init.systemPid}/status", encoding="ascii") as file:
            assert "CapEff:\t0000000000000020\n" in file.read()


# === failures ===


@case
def an_id_in_use(world):
    with world.running() as container:
        _, folder = world.bundle()
        with fails(Code.ALREADY_EXISTS, f"/{container}: file exists"):
            world.create(container, folder)
        # The first one has not noticed.
        assert world.state(container).containers[0].status == "running"


@case
def bundles_that_are_none(world):
    container, folder = world.bundle()
    with fails(Code.UNKNOWN, "empty bundle path", exact=True):
        world.create(container, "")
    with fails(Code.NOT_FOUND, "no such file or directory"):
        world.create(container, "/no/such/bundle")
    os.unlink(os.path.join(folder, "config.json"))
    with fails(Code.NOT_FOUND, f"{folder}/config.json: no such file or directory"):
        world.create(container, folder)


@case
def ids_that_are_none(world):
    """0.2 let them escape from its state dir."""
    _, folder = world.bundle()
    for container in ("", ".", "..", "a/b", "../up", "a\0b"):
        with fails(Code.INVALID_ARGUMENT, "id"):
            world.create(container, folder)


@case
def commands_that_cannot_be_run(world):
    """In the runtime's own words, which clients make exit codes of; the id is free at once and no exit is told."""
    container, folder = world.bundle("no-such-command")
    with fails(Code.UNKNOWN, "oci runtime error: "):
        world.create(container, folder)
    try:
        world.create(container, folder)
        raise AssertionError("it ran")
    except Exception as error:  # pylint: disable=broad-except
        text = error.details().lower()
        known = ("executable file not found", "no such file or directory")
        assert "no-such-command" in text and any(words in text for words in known), text
    shutil.rmtree(folder)
    survivor, good = world.bundle("sh", "-c", "exit 4")
    assert survivor != container
    world.create(container, good)
    kinds = [(event.type, event.status) for event in world.events.up_to("exit", container, "init")]
    assert kinds == [("start-container", 0), ("exit", 4)], kinds


@case
def a_runtime_that_is_not_installed(world):
    container, folder = world.bundle()
    with fails(Code.UNKNOWN, "no-such-runtime not installed on system"):
        world.create(container, folder, runtime="no-such-runtime")


@case
def a_stream_that_cannot_be_opened(world):
    container, folder = world.bundle()
    with fails(Code.UNKNOWN, "shim error: "):
        world.create(container, folder, stdin=os.path.join(folder, "no/such/file"))


@case
def a_runtime_that_fails_to_start(world):
    """After `create`: the form of Go's error, with the output quoted."""
    script = """
        for argument; do [ "$argument" = start ] && { echo 'a "reason"' >&2; exit 3; }; done
        exec "$RUNTIME" "$@"
    """
    runtime = world.program("no-start", script)
    container, folder = world.bundle()
    with fails(Code.UNKNOWN, 'exit status 3: "a \\"reason\\"\\n"', exact=True):
        world.create(container, folder, runtime=runtime, runtimeArgs=world.arguments.runtime_arg)
    with fails(Code.UNKNOWN, "containerd: container not found", exact=True):
        world.state(container)


@case
def a_client_that_does_not_wait(world):
    """Its start is undone, and the id is free."""
    go = os.path.join(world.arguments.work, "go")
    os.mkfifo(go)
    script = f'case " $* " in *" create "*) read line <{go} ;; esac; exec "$RUNTIME" "$@"'
    fields = {"runtime": world.program("hesitant", script), "runtimeArgs": world.arguments.runtime_arg}
    container, folder = world.bundle()
    request = types_pb2.CreateContainerRequest(id=container, bundlePath=folder, **fields)
    call = world.api.CreateContainer.future(request, timeout=SECONDS)
    wait_for("the container on the list", lambda: container in [found.id for found in world.state().containers])
    # While it is being made: stopped, and without processes.
    found = world.state(container).containers[0]
    assert (found.status, len(found.processes)) == ("stopped", 0), found
    with fails(Code.UNKNOWN, "containerd: container has exited", exact=True):
        world.api.Stats(types_pb2.StatsRequest(id=container), timeout=SECONDS)
    call.cancel()
    # The runtime finishes what it has begun; then all of it goes.
    threading.Thread(target=lambda: os.close(os.open(go, os.O_WRONLY)), daemon=True).start()
    wait_for("the end of it", lambda: container not in [found.id for found in world.state().containers])
    world.create(container, folder)
    kinds = [event.type for event in world.events.up_to("start-container", container)]
    assert kinds == ["start-container"], kinds
    world.end(container)
