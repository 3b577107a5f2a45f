"""UpdateContainer: pause and resume, and every limit."""

import json

import types_pb2

from harness import CONTAINER_NOT_FOUND, SECONDS, Code, case, fails

# Each field, what it is set to, and where the runtime is told of it.
LIMITS = {
    "blkioWeight": (300, [("blockIO", "weight"), ("blockIO", "blkioWeight")]),
    "cpuShares": (512, [("cpu", "shares")]),
    "cpuPeriod": (50_000, [("cpu", "period")]),
    "cpuQuota": (25_000, [("cpu", "quota")]),
    "cpusetCpus": ("0", [("cpu", "cpus")]),
    "cpusetMems": ("0", [("cpu", "mems")]),
    "memoryLimit": (128 << 20, [("memory", "limit")]),
    "memorySwap": (256 << 20, [("memory", "swap")]),
    "memoryReservation": (32 << 20, [("memory", "reservation")]),
    "kernelMemoryLimit": (64 << 20, [("memory", "kernel")]),
    "kernelTCPMemoryLimit": (16 << 20, [("memory", "kernelTCP")]),
    "pidsLimit": (33, [("pids", "limit")]),
    "cpuRealtimePeriod": (100_000, [("cpu", "realtimePeriod")]),
    "cpuRealtimeRuntime": (5_000, [("cpu", "realtimeRuntime")]),
}


def update(world, container, **fields):
    world.api.UpdateContainer(types_pb2.UpdateContainerRequest(id=container, **fields), timeout=SECONDS)


def status(world, container):
    return world.state(container).containers[0].status


@case
def pause_and_resume(world):
    with world.running() as container:
        world.events.up_to("start-container", container)
        # `pid` is sent as `init` and ignored, whatever it is.
        for wanted, told, process in (("paused", "pause", "init"), ("running", "resume", "nobody")):
            update(world, container, status=wanted, pid=process)
            # The event was on its way before the answer.
            event = world.events.next()
            assert (event.type, event.id, event.pid, event.status) == (told, container, "", 0), event
        assert status(world, container) == "running"


@case
def a_status_that_is_none(world):
    with world.running() as container:
        for word in ("Paused", "stopped", "frozen"):
            with fails(Code.UNKNOWN, "containerd: unknown container status ", exact=True):
                update(world, container, status=word)


@case
def nothing_to_change(world):
    with world.running() as container:
        update(world, container)
        update(world, container, resources=types_pb2.UpdateResource())


@case
def a_container_of_nobody(world):
    for fields in ({}, {"status": "paused"}, {"status": "running"}, {"resources": types_pb2.UpdateResource(pidsLimit=1)}):
        with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
            update(world, "nobody", **fields)


@case
def a_status_wins_over_resources(world):
    observed = world.observed_runtime("status-runtime")
    fields = {"runtime": observed.path, "runtimeArgs": world.arguments.runtime_arg}
    with world.running(**fields) as container:
        update(world, container, status="paused", resources=types_pb2.UpdateResource(pidsLimit=7))
        update(world, container, status="running")
        assert not observed.commands("update")


@case
def the_runtimes_refusal_comes_in_its_words(world):
    with world.running() as container:
        with fails(Code.UNKNOWN, "cpuset"):
            update(world, container, resources=types_pb2.UpdateResource(cpusetCpus="4000"))


def answering_runtime(world, name):
    """It takes every limit, whatever this kernel has, and notes what it was told."""
    note = f"{world.arguments.work}/{name}"
    script = f"""
        for argument; do
            case $argument in update) exec cat >{note}.input ;; esac
        done
        exec "$RUNTIME" "$@"
    """
    return note, world.program(name, script)


def told(note):
    with open(f"{note}.input", encoding="utf-8") as file:
        return json.load(file)


def expected(resources):
    tree = {}
    for field, value in resources.items():
        for section, key in LIMITS[field][1]:
            tree.setdefault(section, {})[key] = value
    return tree


@case
def each_limit_reaches_the_runtime(world):
    """Each alone, so that nothing is told of the others; then all of them at once."""
    note, runtime = answering_runtime(world, "limits-runtime")
    with world.running(runtime=runtime, runtimeArgs=world.arguments.runtime_arg) as container:
        everything = {field: value for field, (value, _) in LIMITS.items()}
        for resources in (*({field: value} for field, value in everything.items()), everything):
            update(world, container, resources=types_pb2.UpdateResource(**resources))
            assert told(note) == expected(resources), (resources, told(note))


@case
def unsigned_numbers_may_mean_minus_one(world):
    note, runtime = answering_runtime(world, "minus-runtime")
    minus_one = (1 << 64) - 1
    with world.running(runtime=runtime, runtimeArgs=world.arguments.runtime_arg) as container:
        resources = types_pb2.UpdateResource(cpuQuota=minus_one, memorySwap=minus_one, cpuRealtimeRuntime=-1)
        update(world, container, resources=resources)
        assert told(note) == {"cpu": {"quota": -1, "realtimeRuntime": -1}, "memory": {"swap": -1}}, told(note)


@case
def accepted_and_not_applied(world):
    """Fields 12 to 17, which no version of 0.2 did anything with."""
    note, runtime = answering_runtime(world, "block-runtime")
    device = types_pb2.BlockIODevice(major=8, minor=16)
    throttle = [types_pb2.ThrottleDevice(blkIODevice=device, rate=1 << 20)]
    ignored = {
        "blkioLeafWeight": 100,
        "blkioWeightDevice": [types_pb2.WeightDevice(blkIODevice=device, weight=200, leafWeight=100)],
        "blkioThrottleReadBpsDevice": throttle,
        "blkioThrottleWriteBpsDevice": throttle,
        "blkioThrottleReadIopsDevice": throttle,
        "blkioThrottleWriteIopsDevice": throttle,
    }
    named = {field.name for field in types_pb2.UpdateResource.DESCRIPTOR.fields}
    assert named == set(ignored) | set(LIMITS), "a field is in neither list"
    with world.running(runtime=runtime, runtimeArgs=world.arguments.runtime_arg) as container:
        update(world, container, resources=types_pb2.UpdateResource(pidsLimit=9, **ignored))
        assert told(note) == {"pids": {"limit": 9}}, told(note)
