"""Starts against a daemon with a short `--start-timeout`, and shims that fail."""

from harness import Code, case, fails


@case
def a_start_that_takes_too_long(world):
    runtime = world.program("slow-runtime", 'case " $* " in *" create "*) exec sleep 1000 ;; esac; exec "$RUNTIME" "$@"')
    container, folder = world.bundle()
    with fails(Code.UNKNOWN, "containerd: container did not start before the specified timeout", exact=True):
        world.create(container, folder, runtime=runtime, runtimeArgs=world.arguments.runtime_arg)
    with fails(Code.UNKNOWN, "containerd: container not found", exact=True):
        world.state(container)
