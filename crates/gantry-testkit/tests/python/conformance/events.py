"""Events: replay, order, and what is in each."""

import time

import types_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from harness import SECONDS, Code, Events, case, expected_fields, fails

# Go's zero time, which means the same as none.
GO_ZERO = Timestamp(seconds=-62_135_596_800)


def stored(world, since, container=""):
    request = types_pb2.EventsRequest(timestamp=since, storedOnly=True, id=container)
    # Ends by itself.
    return list(world.api.Events(request, timeout=SECONDS))


def at(event):
    return event.timestamp.seconds * 10**9 + event.timestamp.nanos


@case
def what_is_in_them(world):
    before = time.time_ns()
    container, folder = world.bundle()
    world.create(container, folder)
    world.add(container, "e1", "sh", "-c", "exit 255")
    seen = world.events.up_to("exit", container, "e1")
    for wanted in ("paused", "running"):
        world.api.UpdateContainer(types_pb2.UpdateContainerRequest(id=container, status=wanted))
    world.signal(container, 9)
    seen += world.events.up_to("exit", container, "init")
    expected = [
        ("start-container", "", 0),
        ("start-process", "e1", 0),
        ("exit", "e1", 255),
        ("pause", "", 0),
        ("resume", "", 0),
        ("exit", "init", 137),
    ]
    assert len(seen) == len(expected), seen
    last = before
    for event, (kind, process, status) in zip(seen, expected):
        expected_fields(event, type=kind, id=container, status=status, pid=process, timestamp=event.timestamp)
        # Strictly increasing, so that "after the last one" misses none and repeats none.
        assert last < at(event) <= time.time_ns(), (last, event)
        last = at(event)
    # The log says the same.
    assert stored(world, Timestamp(), container) == seen


@case
def no_timestamp_is_no_replay(world):
    with world.running():
        pass
    for request in ({}, {"timestamp": GO_ZERO}):
        subscription = Events(world.api, **request)
        container, folder = world.bundle("true")
        world.create(container, folder)
        first = subscription.next()
        assert (first.type, first.id) == ("start-container", container), first
        subscription.cancel()
        world.events.exit_of(container)


@case
def replay_is_strictly_after_the_timestamp_and_goes_on_live(world):
    container, folder = world.bundle("true")
    world.create(container, folder)
    start, end = world.events.up_to("exit", container, "init")
    one_before = Timestamp()
    one_before.FromNanoseconds(at(start) - 1)
    subscription = Events(world.api, timestamp=start.timestamp)
    assert subscription.next() == end
    other, folder = world.bundle("true")
    world.create(other, folder)
    live = subscription.up_to("exit", other, "init")
    assert [event.type for event in live] == ["start-container", "exit"]
    subscription.cancel()
    assert stored(world, one_before)[0] == start
    assert stored(world, live[-1].timestamp) == []


@case
def only_those_of_one_container(world):
    ids = []
    for _ in range(3):
        container, folder = world.bundle("true")
        world.create(container, folder)
        world.events.exit_of(container)
        ids.append(container)
    for container in ids:
        seen = [(event.type, event.id) for event in stored(world, Timestamp(), container)]
        assert seen == [("start-container", container), ("exit", container)], seen
    assert stored(world, Timestamp(), "nobody") == []
    subscription = Events(world.api, id=f"{ids[0]}x")
    container, folder = world.bundle("true")
    world.create(container, folder)
    world.events.exit_of(container)
    # One live event of its own would come after those of the other.
    assert subscription.queue.empty()
    subscription.cancel()


@case
def nineteen_seventy_is_everything(world):
    everything = stored(world, Timestamp())
    assert everything and everything[0].type == "start-container"
    times = [at(event) for event in everything]
    assert times == sorted(set(times))


@case
def stored_only_needs_a_timestamp(world):
    text = "invalid parameter: StoredOnly cannot be specified without setting a valid Timestamp"
    for request in ({}, {"timestamp": GO_ZERO}):
        with fails(Code.UNKNOWN, text, exact=True):
            list(world.api.Events(types_pb2.EventsRequest(storedOnly=True, **request), timeout=SECONDS))


@case
def timestamps_that_are_none(world):
    for seconds, nanos in ((0, -1), (0, 10**9), (253_402_300_800, 0), (-62_135_596_801, 0)):
        with fails(Code.UNKNOWN, "timestamp"):
            stored(world, Timestamp(seconds=seconds, nanos=nanos))


@case
def memory_runs_out_before_the_exit(world):
    def limit(config):
        config["linux"]["resources"]["memory"] = {"limit": 8 << 20, "swap": 8 << 20}

    container, folder = world.bundle("sh", "-c", "a=0123456789abcdef; while :; do a=$a$a; done", change=limit)
    world.create(container, folder)
    seen = [(event.type, event.pid, event.status) for event in world.events.up_to("exit", container, "init")]
    assert seen == [("start-container", "", 0), ("oom", "", 0), ("exit", "init", 137)], seen


@case
def no_other_kind_is_ever_told(world):
    """0.2 has a constant `live` that nobody has seen; clients pass over kinds that they do not know."""
    kinds = {event.type for event in stored(world, Timestamp())}
    assert kinds == {"start-container", "start-process", "exit", "pause", "resume", "oom"}, kinds


@case
def execs_end_before_their_container(world):
    container, folder = world.bundle()
    world.create(container, folder)
    for number in range(5):
        world.add(container, f"e{number}", "sleep", "1000")
    world.signal(container, 9)
    ends = [event.pid for event in world.events.up_to("exit", container, "init") if event.type == "exit"]
    assert sorted(ends[:-1]) == [f"e{number}" for number in range(5)] and ends[-1] == "init", ends
    with fails(Code.UNKNOWN, "containerd: container not found", exact=True):
        world.state(container)
