#!/usr/bin/env bash
# A tour with a private daemon: everything that it makes is in one temporary folder, and at the end it checks that
# nothing of it is left. Needs root and the programs of scripts/build.sh. Each command is shown before it runs.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/parent-cgroups.sh
. scripts/parent-cgroups.sh

if [[ $(id -u) != 0 ]]; then
    echo "tour: containers need root: run this as root, for example with sudo" >&2
    exit 1
fi

bin=$(realpath "${CARGO_TARGET_DIR:-target}/gantry/bin")
readonly bin
if [[ ! -x $bin/gantryd ]]; then
    echo "tour: there is no gantryd in $bin: run \"make build\"" >&2
    exit 1
fi

# The container's name is also the end of its cgroup's path.
readonly name=gantry-tour-$$
dir=$(mktemp -d --tmpdir "$name-XXXXXX")
readonly dir
readonly log=$dir/gantryd.log
# What the commands below find their way by.
export PATH=$bin:$PATH GANTRY_ADDRESS=unix://$dir/gantryd.sock
daemon=

if [[ -t 1 ]]; then
    readonly bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
else
    readonly bold='' dim='' plain=''
fi

say() { printf '\n%s# %s%s\n' "$dim" "$*" "$plain"; }

# Shows a command line as one would type it.
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }

# Shows a command and runs it.
run() {
    local word line=()
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word="'$word'"
        line+=("$word")
    done
    show "${line[@]}"
    "$@"
}

# Runs a command that must end with this status.
run_expecting() {
    local expected=$1 status=0
    shift
    run "$@" || status=$?
    echo "${dim}(status $status)${plain}"
    [[ $status == "$expected" ]] || fail "expected status $expected"
}

fail() {
    echo "tour: $*" >&2
    exit 1
}

# Waits until a command succeeds, at most ten seconds.
wait_until() {
    local tries=200
    until "$@" >/dev/null 2>&1; do
        ((--tries)) || return 1
        sleep 0.05
    done
}

start_daemon() {
    local command=(gantryd --listen "$GANTRY_ADDRESS" --state-dir "$dir/state" --runtime-args --root="$dir/runtime")
    show "${command[*]} &"
    "${command[@]}" >>"$log" 2>&1 </dev/null &
    daemon=$!
    wait_until gantry version || fail "the daemon did not come up within ten seconds"
}

stop_daemon() {
    [[ -n $daemon ]] || return 0
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" || true
    daemon=
}

# The processes that have to do with the tour's folder or containers, this script and its children left out.
tour_processes() {
    local process pid parent
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        parent=$(awk '/^PPid:/ { print $2 }' "$process/status" 2>/dev/null) || continue
        [[ $pid != "$$" && $pid != "$BASHPID" && $parent != "$BASHPID" ]] || continue
        if { readlink "$process/cwd"; tr '\0' ' ' <"$process/cmdline"; cat "$process/cgroup"; } 2>/dev/null |
            grep -qF "$name"; then
            echo "$pid"
        fi
    done
}

tour_mounts() { awk '{ print $5 }' /proc/self/mountinfo | grep -F "$name" || true; }
tour_cgroups() { find /sys/fs/cgroup -mindepth 1 -depth -type d -path "*/$name*" 2>/dev/null || true; }

cgroups_before=$(gantry_cgroups)
readonly cgroups_before

# Whatever happened: nothing of the tour stays.
clean_up() {
    local status=$?
    trap - EXIT
    set +e
    if ((status != 0)); then
        printf '\ntour: failed with status %s; the end of the daemon'"'"'s log:\n' "$status" >&2
        tail -n 30 "$log" >&2
    fi
    stop_daemon
    tour_processes | while read -r pid; do kill -9 "$pid" 2>/dev/null; done
    wait_until is_empty tour_processes
    tour_mounts | sort -r | while read -r mount; do umount -l "$mount"; done
    tour_cgroups | while read -r cgroup; do rmdir "$cgroup"; done
    remove_gantry_cgroups_except "$cgroups_before"
    rm -rf "$dir"
    exit "$status"
}

is_empty() { [[ -z $("$@") ]]; }
is_listed() { gantry ps | grep -qF "$name"; }
is_not_listed() { ! is_listed; }

check_nothing_left() {
    local what
    for what in processes mounts cgroups; do
        wait_until is_empty "tour_$what" || fail "$what left: $("tour_$what" | tr '\n' ' ')"
    done
    remove_gantry_cgroups_except "$cgroups_before"
    rm -rf "$dir"
    is_empty find "${TMPDIR:-/tmp}" -maxdepth 1 -name "$name*" || fail "files left in ${TMPDIR:-/tmp}"
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "A private daemon. Its socket and all that it remembers are in a temporary folder; the programs are in ${bin#"$PWD/"}."
show "export GANTRY_ADDRESS=$GANTRY_ADDRESS"
start_daemon
run gantry version

say "A first container, from a small demo root. Its output is ours, and --rm leaves nothing of it."
run gantry run --rm

say "It ends with the status of its command."
run_expecting 7 gantry run --rm sh -c 'echo something went wrong; exit 7'

say "One in the background."
run gantry run -d --name "$name" sh -c 'while date +%T; do sleep 0.1; done'
run gantry ps

say "Another process in it sees what it sees: its own processes, its own host name."
run gantry exec "$name" ps
run_expecting 3 gantry exec "$name" sh -c 'hostname; exit 3'

say "The daemon dies without a warning. The container does not notice, and the next daemon takes it up again."
show "kill -9 $daemon"
# In braces, so that bash's own note on the killed job goes nowhere.
{ kill -9 "$daemon" && wait "$daemon"; } 2>/dev/null || true
start_daemon
run gantry ps
run gantry exec "$name" echo 'still here'
show "gantry logs $name | tail -n 3"
gantry logs "$name" | tail -n 3

say "The end."
run gantry kill -s KILL "$name"
wait_until is_not_listed || fail "the container did not end"
run gantry ps -a
run gantry rm "$name"

say "What happened, as the daemon has written it down."
run gantry events --stored

say "The daemon stops, and nothing is left: no process, mount, cgroup or file."
stop_daemon
check_nothing_left
echo "checked: nothing is left."
