"""A daemon whose shim ends without a word."""

from harness import Code, case, fails


@case
def a_shim_that_ends_without_a_word(world):
    container, folder = world.bundle()
    with fails(Code.UNKNOWN, "containerd: container not started", exact=True):
        world.create(container, folder)
