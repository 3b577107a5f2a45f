"""Stats: each figure against the kernel's own."""

import os
import time

import types_pb2

from harness import CONTAINER_NOT_FOUND, SECONDS, Code, case, expected_fields, fails, wait_for

MIB = 1 << 20
# Fields of BlkioStats and the files of cgroup v1 that they are read from, the first that is there.
BLKIO = {
    "io_service_bytes_recursive": ("bfq.io_service_bytes_recursive", "throttle.io_service_bytes_recursive"),
    "io_serviced_recursive": ("bfq.io_serviced_recursive", "throttle.io_serviced_recursive"),
    "io_queued_recursive": ("io_queued_recursive",),
    "io_service_time_recursive": ("io_service_time_recursive",),
    "io_wait_time_recursive": ("io_wait_time_recursive",),
    "io_merged_recursive": ("io_merged_recursive",),
    "io_time_recursive": ("time_recursive",),
    "sectors_recursive": ("sectors_recursive",),
}


def stats(world, container):
    return world.api.Stats(types_pb2.StatsRequest(id=container), timeout=SECONDS)


def cgroup_v1(pid, controller):
    """The folder of a process's cgroup in a hierarchy of version 1, if there is one."""
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controller in controllers.split(","):
                return f"/sys/fs/cgroup/{controller}{path}"
    return None


def number(folder, file):
    with open(os.path.join(folder, file), encoding="ascii") as file:
        return int(file.read())


def limited(config):
    resources = config["linux"]["resources"]
    resources["memory"] = {"limit": 64 * MIB}
    resources["pids"] = {"limit": 20}
    resources["cpu"] = {"quota": 10_000, "period": 100_000}


@case
def everything_that_clients_do_not_ask_for_is_there(world):
    """dockerd reads these without looking."""
    with world.running() as container:
        answer = stats(world, container)
        groups = answer.cgroup_stats
        for message, field in (
            (answer, "cgroup_stats"),
            (answer, "timestamp"),
            (groups, "cpu_stats"),
            (groups, "memory_stats"),
            (groups, "blkio_stats"),
            (groups, "pids_stats"),
            (groups.cpu_stats, "cpu_usage"),
            (groups.cpu_stats, "throttling_data"),
            (groups.memory_stats, "usage"),
            (groups.memory_stats, "swap_usage"),
            (groups.memory_stats, "kernel_usage"),
        ):
            assert message.HasField(field), field
        # Nobody has ever filled this one: all its fields are there to be left out.
        assert list(answer.network_stats) == []
        fields = [field.name for field in types_pb2.NetworkStats.DESCRIPTOR.fields]
        assert fields[0] == "name" and len(fields) == 9, fields


@case
def processor_time(world):
    with world.running("sh", "-c", "while :; do :; done", change=limited) as container:
        first = wait_for(
            "a throttled period",
            lambda: (s := stats(world, container).cgroup_stats.cpu_stats).throttling_data.throttled_time > 0 and s,
        )
        later = wait_for(
            "more of everything",
            lambda: (s := stats(world, container).cgroup_stats.cpu_stats).throttling_data.throttled_periods
            > first.throttling_data.throttled_periods
            # The time of a period is added when it is over, and use is read before it.
            and s.throttling_data.throttled_time > first.throttling_data.throttled_time
            and s.cpu_usage.total_usage > first.cpu_usage.total_usage
            and s,
        )
        data = later.throttling_data
        expected_fields(
            data, periods=data.periods, throttled_periods=data.throttled_periods, throttled_time=data.throttled_time
        )
        assert data.periods >= data.throttled_periods > 0
        usage = later.cpu_usage
        assert first.cpu_usage.total_usage > 0
        assert usage.usage_in_usermode > 0 and usage.usage_in_kernelmode >= 0
        # One figure a processor, where the kernel counts them apart (cgroup v1).
        if cgroup_v1(world.process(container, "init").systemPid, "cpuacct"):
            assert sum(usage.percpu_usage) >= first.cpu_usage.total_usage > 0
        assert usage.usage_in_usermode + usage.usage_in_kernelmode <= 2 * usage.total_usage
        assert later.system_usage > usage.total_usage


@case
def the_hosts_time(world):
    """The first seven numbers of `cpu` in /proc/stat, in nanoseconds."""

    def host():
        with open("/proc/stat", encoding="ascii") as file:
            ticks = sum(int(word) for word in file.readline().split()[1:8])
        return ticks * 10**9 // os.sysconf("SC_CLK_TCK")

    with world.running() as container:
        before = host()
        told = stats(world, container).cgroup_stats.cpu_stats.system_usage
        assert before <= told <= host(), (before, told, host())


@case
def memory(world):
    script = "head -c 16777216 /dev/zero >/dev/shm/ballast; sleep 1000"
    with world.running("sh", "-c", script, change=limited) as container:
        folder = cgroup_v1(world.process(container, "init").systemPid, "memory")

        def settled():
            told = stats(world, container).cgroup_stats.memory_stats
            # Two looks at what may still grow between them.
            grows = folder is not None and told.usage.max_usage != number(folder, "memory.max_usage_in_bytes")
            return told if told.usage.usage >= 16 * MIB and not grows else None

        answer = wait_for("16 MiB", settled)
        usage = answer.usage
        expected_fields(usage, usage=usage.usage, max_usage=usage.max_usage, failcnt=usage.failcnt, limit=64 * MIB)
        # Each processor counts pages for itself and adds them up late.
        assert usage.usage <= 64 * MIB and answer.cache >= 15 * MIB and answer.stats, answer
        if folder is None:
            return
        assert usage.failcnt == number(folder, "memory.failcnt")
        assert usage.usage <= usage.max_usage
        with open(os.path.join(folder, "memory.stat"), encoding="ascii") as file:
            lines = dict(line.split() for line in file)
        assert set(answer.stats) == set(lines) and answer.cache <= 64 * MIB
        for told, name in ((answer.swap_usage, "memsw"), (answer.kernel_usage, "kmem")):
            if os.path.exists(os.path.join(folder, f"memory.{name}.usage_in_bytes")):
                assert told.usage > 0 and told.max_usage >= told.usage, (name, told)
                assert told.limit == number(folder, f"memory.{name}.limit_in_bytes"), (name, told)
                assert told.failcnt == number(folder, f"memory.{name}.failcnt"), (name, told)


@case
def tasks(world):
    with world.running("sh", "-c", "sleep 1000 & sleep 1000; true", change=limited) as container:
        wait_for("three", lambda: stats(world, container).cgroup_stats.pids_stats.current == 3)
        expected_fields(stats(world, container).cgroup_stats.pids_stats, current=3, limit=20)
    with world.running() as container:
        # No limit is 0.
        expected_fields(stats(world, container).cgroup_stats.pids_stats, current=1, limit=0)


def told_lines(entries):
    return {(entry.major, entry.minor, entry.op): entry.value for entry in entries}


def kernel_lines(path):
    """`8:0 Read 4096`, or without the word; the total of all devices has no number."""
    lines = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            if ":" in words[0]:
                device = tuple(int(part) for part in words[0].split(":"))
                lines[(*device, words[1] if len(words) == 3 else "")] = int(words[-1])
    return lines


@case
def block_devices(world):
    """Each line of the kernel's files, of which there are none where the container has used no device."""
    script = "dd if=/dev/zero of=/ballast bs=65536 count=16 conv=fsync 2>/dev/null; rm /ballast; sleep 1000; true"
    with world.running("sh", "-c", script) as container:
        wait_for("the end of the writing", lambda: len(world.state(container).containers[0].pids) == 2)
        folder = cgroup_v1(world.process(container, "init").systemPid, "blkio")
        answer = stats(world, container).cgroup_stats.blkio_stats
        assert {field.name for field in answer.DESCRIPTOR.fields} == set(BLKIO)
        for field, files in BLKIO.items():
            entries = getattr(answer, field)
            for entry in entries:
                expected_fields(entry, major=entry.major, minor=entry.minor, op=entry.op, value=entry.value)
            if folder is not None:
                paths = [os.path.join(folder, f"blkio.{file}") for file in files]
                filled = [lines for path in paths if os.path.exists(path) and (lines := kernel_lines(path))]
                assert told_lines(entries) == (filled[0] if filled else {}), (field, entries, filled)


@case
def huge_pages(world):
    """By size, for each size that the kernel has, where it has the controller; `limit` is never set."""
    with world.running() as container:
        told = stats(world, container).cgroup_stats.hugetlb_stats
        folder = cgroup_v1(world.process(container, "init").systemPid, "hugetlb")
        if folder is not None:
            files = [name for name in os.listdir(folder) if name.endswith(".usage_in_bytes") and "rsvd" not in name]
            assert set(told) == {name.split(".")[1] for name in files}, told
        for entry in told.values():
            expected_fields(entry, usage=0, max_usage=entry.max_usage, failcnt=0, limit=0)
        # What the wire has room for.
        names = [field.name for field in types_pb2.HugetlbStats.DESCRIPTOR.fields]
        assert names == ["usage", "max_usage", "failcnt", "limit"], names


@case
def the_time_is_the_one_before_the_reading(world):
    with world.running() as container:
        before = time.time_ns()
        timestamp = stats(world, container).timestamp
        assert before <= timestamp.seconds * 10**9 + timestamp.nanos <= time.time_ns()


@case
def a_container_of_nobody(world):
    with fails(Code.UNKNOWN, CONTAINER_NOT_FOUND, exact=True):
        stats(world, "nobody")
