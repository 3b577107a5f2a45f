#!/usr/bin/env bash
# Lists what tests and the tour could have left on this machine, one fact a line: processes of throw-away daemons,
# mounts and files in their temporary folders, cgroups. Prints nothing on a clean machine; a real Gantry's cgroups are
# listed too.
set -euo pipefail

# What a temporary folder and a cgroup of ours is called: gantry-test-XXXX, gantry-tour-XXXX.
readonly name='gantry-(test|tour)-'

for process in /proc/[0-9]*; do
    # Whatever names such a folder: its own file, its working directory, its arguments.
    {
        readlink "$process/exe" "$process/cwd"
        tr '\0' ' ' <"$process/cmdline"
    } 2>/dev/null | grep -E "$name" >/dev/null || continue
    echo "process ${process#/proc/}: $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)"
done
awk '{ print "mount " $5 }' /proc/self/mountinfo | grep -E "$name" || true
find /sys/fs/cgroup -mindepth 1 -type d 2>/dev/null | grep -E "$name|/gantry(/|$)" | sed 's/^/cgroup /' || true
find "${TMPDIR:-/tmp}" -maxdepth 1 -regextype posix-extended -regex ".*/$name.*" 2>/dev/null | sed 's/^/file /' || true
