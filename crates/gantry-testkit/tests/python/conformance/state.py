"""State: who is there, and on what machine. What a container and a process are shown as is in the tests of their making."""

import os

import types_pb2

from harness import CONTAINER_NOT_FOUND, Code, case, expected_fields, fails, wait_for


@case
def the_machine(world):
    with open("/proc/stat", encoding="ascii") as file:
        cpus = sum(line[:3] == "cpu" and line[3].isdigit() for line in file)
    with open("/proc/meminfo", encoding="ascii") as file:
        (memory,) = [int(line.split()[1]) // 1024 for line in file if line.startswith("MemTotal:")]
    expected_fields(world.state().machine, cpus=cpus, memory=memory)


@case
def all_containers_or_one(world):
    assert not world.state().containers
    with world.running() as one, world.running() as other:
        assert sorted(found.id for found in world.state().containers) == sorted((one, other))
        (found,) = world.state(one).containers
        assert (found.id, found.status) == (one, "running")
    assert not world.state().containers


@case
def a_container_of_nobody(world):
    for container in ("nobody", "../up", "a b"):
        with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
            world.state(container)


@case
def pids_are_the_hosts(world):
    with world.running("sh", "-c", "sleep 1000 & sleep 1000; true") as container:
        init = world.process(container, "init").systemPid
        world.add(container, "e1", "sleep", "1000")
        exec_pid = world.process(container, "e1").systemPid
        pids = wait_for("all four", lambda: (p := world.state(container).containers[0].pids) and len(p) == 4 and list(p))
        assert init in pids and exec_pid in pids, pids
        for pid in pids:
            with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
                assert os.path.basename(world.cgroup) in file.read()


@case
def a_paused_container_is_shown_with_its_pids(world):
    """The word stays one that dockerd does not take for the end."""
    with world.running() as container:
        request = types_pb2.UpdateContainerRequest(id=container, status="paused")
        world.api.UpdateContainer(request)
        (found,) = world.state(container).containers
        assert found.status in ("running", "paused") and len(found.pids) == 1, found
        request.status = "running"
        world.api.UpdateContainer(request)


@case
def nobody_uses_container_state(world):
    """The protocol defines it, and no message has one."""
    container_state = types_pb2.ContainerState.DESCRIPTOR
    assert [field.name for field in container_state.fields] == ["status"]
    for message in types_pb2.DESCRIPTOR.message_types_by_name.values():
        assert all(field.message_type is not container_state for field in message.fields), message.name
    assert world.state().IsInitialized()
