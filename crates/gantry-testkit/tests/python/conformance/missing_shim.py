"""A daemon whose shim is not installed."""

from harness import Code, case, fails


@case
def a_shim_that_is_not_installed(world):
    container, folder = world.bundle()
    with fails(Code.UNKNOWN, "no-such-shim not installed on system", exact=True):
        world.create(container, folder)
