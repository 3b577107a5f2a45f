#!/bin/sh
# A runtime of runc's generation before 1.0-rc3: it takes the path of a terminal (`--console`) and knows no
# `--console-socket`. What it is asked for, a runtime of today does ($GANTRY_REAL_RUNTIME): without a terminal of its own
# making, and with the one of the path as standard streams. Each command line is written to $0.log.
echo "$*" >>"$0.log"
case " $* " in
*" --help "*)
    echo "OPTIONS:"
    echo "   --console value   specify the pty slave path for use with the container"
    exit 0
    ;;
*" --console-socket"*)
    echo "flag provided but not defined: -console-socket" >&2
    exit 1
    ;;
esac

# The arguments again, without those of the terminal, and with files that ask for none.
count=$#
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))
    case $argument in
    --console)
        console=$1
        shift
        count=$((count - 1))
        ;;
    --bundle)
        bundle=$0.bundle.$$
        mkdir "$bundle"
        sed 's/"terminal": *true/"terminal":false/' "$1/config.json" >"$bundle/config.json"
        set -- "$@" --bundle "$bundle"
        shift
        count=$((count - 1))
        ;;
    --process)
        cp "$1" "$0.process"
        sed 's/"terminal": *true/"terminal":false/' "$1" >"$0.process.$$"
        set -- "$@" --process "$0.process.$$"
        shift
        count=$((count - 1))
        ;;
    *) set -- "$@" "$argument" ;;
    esac
done
[ -z "$console" ] || exec <"$console" >"$console" 2>"$console"
exec "$GANTRY_REAL_RUNTIME" "$@"
