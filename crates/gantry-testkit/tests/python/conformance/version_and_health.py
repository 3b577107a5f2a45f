"""GetServerVersion, the health service, and what the transport itself answers."""

import grpc

import health_pb2
import types_pb2

from harness import SECONDS, Code, case, expected_fields, fails


@case
def version(world):
    answer = world.api.GetServerVersion(types_pb2.GetServerVersionRequest(), timeout=SECONDS)
    # The version of the API that this daemon speaks; its own program has another.
    assert answer.revision == "" or set(answer.revision) <= set("0123456789abcdef"), answer
    expected_fields(answer, major=answer.major, minor=answer.minor, patch=answer.patch, revision=answer.revision)
    assert answer.major + answer.minor + answer.patch > 0, answer


@case
def health_of_the_server(world):
    answer = world.health.Check(health_pb2.HealthCheckRequest(service=""), timeout=SECONDS)
    expected_fields(answer, status=health_pb2.HealthCheckResponse.SERVING)
    assert health_pb2.HealthCheckResponse.SERVING == 1


@case
def health_of_an_unknown_service(world):
    for service in ("types.API", "no.such.Service"):
        with fails(Code.NOT_FOUND, "unknown service", exact=True):
            world.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)


@case
def health_is_watched(world):
    stream = world.health.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
    # It stays open for as long as the daemon serves.
    assert stream.is_active()
    stream.cancel()


def raw(world, method):
    same = bytes
    return world.channel.unary_unary(method, request_serializer=same, response_deserializer=same)


@case
def unknown_methods_and_services(world):
    with fails(Code.UNIMPLEMENTED, "unknown method Nope", exact=True):
        raw(world, "/types.API/Nope")(b"", timeout=SECONDS)
    with fails(Code.UNIMPLEMENTED, "unknown service no.Service", exact=True):
        raw(world, "/no.Service/Nope")(b"", timeout=SECONDS)


def varint_field(number, value):
    """A field of type varint, on the wire."""
    out = bytearray()
    for part in (number << 3, value):
        while part > 0x7F:
            out.append(part & 0x7F | 0x80)
            part >>= 7
        out.append(part)
    return bytes(out)


@case
def fields_that_the_daemon_does_not_know(world):
    """Also those numbers that 0.2.0 used: a timestamp in 1 of EventsRequest."""
    with world.running() as container:
        known = types_pb2.StateRequest(id=container).SerializeToString()
        answer = raw(world, "/types.API/State")(known + varint_field(1000, 7), timeout=SECONDS)
        assert types_pb2.StateResponse.FromString(answer).containers[0].id == container
        stream = world.channel.unary_stream(
            "/types.API/Events", request_serializer=bytes, response_deserializer=types_pb2.Event.FromString
        )
        stored = types_pb2.EventsRequest(storedOnly=True, id=container)
        stored.timestamp.seconds = 1
        events = list(stream(varint_field(1, 1 << 40) + stored.SerializeToString(), timeout=SECONDS))
        assert [event.type for event in events] == ["start-container"], events


@case
def repeated_numbers_packed_and_not(world):
    """Clients up to 0.2.6 write `additionalGids` one by one, later ones all in one."""
    one_by_one = b"".join(varint_field(3, gid) for gid in (11, 300))
    packed = types_pb2.User(additionalGids=[11, 300]).SerializeToString()
    assert one_by_one != packed
    with world.running() as container:
        for number, user in enumerate((one_by_one, packed)):
            request = types_pb2.AddProcessRequest(id=container, pid=f"e{number}", args=["sleep", "1000"], cwd="/")
            request.env.append("PATH=/bin")
            # Field 3, a message.
            body = request.SerializeToString() + bytes([3 << 3 | 2, len(user)]) + user
            raw(world, "/types.API/AddProcess")(body, timeout=SECONDS)
            assert list(world.process(container, f"e{number}").user.additionalGids) == [11, 300]


@case
def a_message_that_is_too_big(world):
    with fails(Code.OUT_OF_RANGE, ""):
        world.state("x" * (5 << 20))
    # The connection goes on.
    world.state()
    assert isinstance(world.channel, grpc.Channel)
