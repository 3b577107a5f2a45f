"""One container from its start to its end, as a client sees it: all calls that it needs, in their order."""

import health_pb2
import types_pb2

from harness import CONTAINER_NOT_FOUND, SECONDS, Code, Events, Streams, case, fails


@case
def the_life_of_a_container(world):
    answer = world.health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
    version = world.api.GetServerVersion(types_pb2.GetServerVersionRequest(), timeout=SECONDS)
    assert version.major > 0 or version.minor > 0, version

    events = Events(world.api)

    def expect(kind, process, status):
        event = events.next()
        assert (event.type, event.id, event.pid, event.status) == (kind, container, process, status), event

    container, folder = world.bundle("sh", "-c", "read line; echo got $line; exit 3")
    streams = Streams(folder, "init")
    assert world.create(container, folder, labels=["from=python"], **streams.paths).status == "running"
    expect("start-container", "", 0)
    (listed,) = world.state().containers
    assert (listed.id, listed.bundlePath, list(listed.labels)) == (container, folder, ["from=python"])

    exec_streams = Streams(folder, "exec")
    assert world.add(container, "exec", "sh", "-c", "echo out; echo err >&2; exit 5", **exec_streams.paths) > 0
    expect("start-process", "exec", 0)
    expect("exit", "exec", 5)
    assert exec_streams.finish() == ("out\n", "err\n")

    world.add(container, "sleeper", "sleep", "1000")
    expect("start-process", "sleeper", 0)
    world.signal(container, 15, "sleeper")
    expect("exit", "sleeper", 128 + 15)

    with fails(Code.ALREADY_EXISTS, container):
        world.create(container, folder)
    with open(streams.paths["stdin"], "w", encoding="utf-8") as fifo:
        fifo.write("a line\n")
    expect("exit", "init", 3)
    assert streams.finish() == ("got a line\n", "")
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        world.state(container)
    events.cancel()
