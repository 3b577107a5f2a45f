"""The three rpcs of checkpoints, and a container that starts from one; with a stand-in for CRIU, which needs a kernel that
fits it.
"""

import json
import os

import types_pb2

from harness import CONTAINER_NOT_FOUND, SECONDS, Code, case, expected_fields, fails


def write(world, container, folder="", **checkpoint):
    request = types_pb2.CreateCheckpointRequest(
        id=container, checkpoint=types_pb2.Checkpoint(**checkpoint), checkpointDir=folder
    )
    world.api.CreateCheckpoint(request, timeout=SECONDS)


def listed(world, container, folder=""):
    request = types_pb2.ListCheckpointRequest(id=container, checkpointDir=folder)
    return list(world.api.ListCheckpoint(request, timeout=SECONDS).checkpoints)


def delete(world, container, name, folder=""):
    request = types_pb2.DeleteCheckpointRequest(id=container, name=name, checkpointDir=folder)
    world.api.DeleteCheckpoint(request, timeout=SECONDS)


def command_lines(world, subcommand):
    with open(f"{world.arguments.runtime}.log", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if f" {subcommand} " in line]


@case
def written_listed_and_deleted(world):
    own = os.path.join(world.arguments.work, "checkpoints of my own")
    with world.running() as container:
        bundle = os.path.join(world.arguments.work, container)
        everything = {"tcp": True, "unixSockets": True, "shell": True, "emptyNS": ["network"]}
        write(world, container, own, name="all", **everything)
        flags = "--leave-running --shell-job --tcp-established --ext-unix-sk --empty-ns network"
        assert flags in command_lines(world, "checkpoint")[-1], command_lines(world, "checkpoint")
        with open(os.path.join(own, "all", "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        created = config.pop("created")
        assert created.startswith("20"), created
        assert config == {"name": "all", "exit": False, **everything}, config
        # Without a folder of its own: in the bundle.
        write(world, container, name="plain")
        assert os.listdir(os.path.join(bundle, "checkpoints")) == ["plain"]
        last = command_lines(world, "checkpoint")[-1]
        assert "--leave-running" in last and not any(flag in last for flag in flags.split()[1:]), last

        (found,) = listed(world, container, own)
        # Only these are ever told.
        expected_fields(found, name="all", exit=False, tcp=True, unixSockets=True, shell=True, emptyNS=[])
        (found,) = listed(world, container)
        expected_fields(found, name="plain", exit=False, tcp=False, unixSockets=False, shell=False, emptyNS=[])
        delete(world, container, "all", own)
        assert listed(world, container, own) == [] and len(listed(world, container)) == 1
        # One that is not there is fine.
        delete(world, container, "all", own)


@case
def the_end_of_the_container_and_a_start_from_it(world):
    """`exit`, and `checkpoint` and `checkpointDir` of CreateContainer."""
    for own in ("", os.path.join(world.arguments.work, "somewhere else")):
        container, folder = world.bundle()
        world.create(container, folder)
        write(world, container, own, name="last", exit=True)
        assert "--leave-running" not in command_lines(world, "checkpoint")[-1]
        assert world.events.exit_of(container) == 137
        world.create(container, folder, checkpoint="last", checkpointDir=own)
        images = os.path.join(own or os.path.join(folder, "checkpoints"), "last")
        assert f"--image-path {images} " in command_lines(world, "restore")[-1]
        assert world.state(container).containers[0].status == "running"
        world.end(container)


@case
def a_name_in_use(world):
    with world.running() as container:
        write(world, container, name="one")
        with fails(Code.ALREADY_EXISTS, "/checkpoints/one: file exists"):
            write(world, container, name="one")


@case
def the_runtimes_failure(world):
    """In its words, and nothing is left that would be in the way of the next try."""
    with world.running() as container:
        switch = f"{world.arguments.runtime}.fails"
        with open(switch, "w", encoding="ascii"):
            pass
        with fails(Code.UNKNOWN, 'exit status 1: "criu failed: type NOTIFY errno 0\\n"', exact=True):
            write(world, container, name="one")
        os.unlink(switch)
        write(world, container, name="one")


@case
def names_that_are_none(world):
    with world.running() as container:
        with fails(Code.UNKNOWN, "checkpoint name cannot be empty", exact=True):
            delete(world, container, "")
        with fails(Code.INVALID_ARGUMENT, "checkpoint cannot be empty", exact=True):
            # 0.2 crashed.
            world.api.CreateCheckpoint(types_pb2.CreateCheckpointRequest(id=container), timeout=SECONDS)
        for name in ("..", "a/b"):
            with fails(Code.UNKNOWN, "checkpoint name"):
                write(world, container, name=name)


@case
def containers_of_nobody(world):
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        write(world, "nobody", name="one")
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        delete(world, "nobody", "one")
    # This rpc alone has a code and a text of its own for it.
    with fails(Code.NOT_FOUND, "no such containers", exact=True):
        listed(world, "nobody")


@case
def folders_that_are_not_there(world):
    with world.running() as container:
        with fails(Code.NOT_FOUND, "no such file or directory"):
            listed(world, container)
        container_folder = os.path.join(world.arguments.work, container)
        with fails(Code.UNKNOWN, "checkpoints/never-was/config.json: no such file or directory"):
            world.create(world.new_id(), container_folder, checkpoint="never-was")
        os.makedirs(os.path.join(container_folder, "checkpoints", "bad"))
        with fails(Code.NOT_FOUND, "checkpoints/bad/config.json: no such file or directory"):
            listed(world, container)
