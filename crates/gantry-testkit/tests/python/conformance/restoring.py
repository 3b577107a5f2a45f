"""A daemon that still restores: a runtime's command that it needs for that waits at a FIFO."""

import os

import health_pb2
import types_pb2

from harness import SECONDS, case

# dockerd's own limit for health, which it asks for twice a second.
HEALTH_SECONDS = 3


@case
def calls_wait_for_the_restore_and_health_does_not(world):
    """0.2 refused them as unimplemented, and dockerd believed that all its containers were gone."""
    state = world.api.State.future(types_pb2.StateRequest(), timeout=SECONDS)
    stored = types_pb2.EventsRequest(storedOnly=True)
    stored.timestamp.seconds = 0
    events = world.api.Events(stored, timeout=SECONDS)
    for _ in range(20):
        answer = world.health.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert not state.done() and events.is_active()
    os.close(os.open(os.path.join(world.arguments.work, "go"), os.O_WRONLY))
    (survivor,) = state.result().containers
    assert survivor.status == "running", survivor
    # The one that cannot be believed is set aside. It was started once, so its end is told once: it was killed.
    told = [(event.type, event.status) for event in events]
    assert told == [("start-container", 0)] * 2 + [("exit", 137)], told
