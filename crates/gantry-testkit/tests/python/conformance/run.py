"""Runs the cases of one module of the conformance tests against a daemon, from a client that grpcio-tools generated.

Prints "ok" at the end; any other end is a failure.
"""

import argparse
import importlib
import time

import harness


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--address", required=True, help="of the daemon")
    parser.add_argument("--bundle", required=True, help="whose root and configuration all others have")
    parser.add_argument("--work", required=True, help="an empty folder")
    parser.add_argument("--runtime", required=True, help="the program of the daemon's runtime")
    parser.add_argument("--runtime-arg", action="append", default=[], help="what goes before its subcommand")
    arguments = parser.parse_args()
    importlib.import_module(arguments.module)
    assert harness.CASES, f"{arguments.module} has no case"
    world = harness.World(arguments)
    for case in harness.CASES:
        began = time.monotonic()
        print(f"{case.__name__} ...", flush=True)
        case(world)
        print(f"{case.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    world.channel.close()
    print("ok")


main()
