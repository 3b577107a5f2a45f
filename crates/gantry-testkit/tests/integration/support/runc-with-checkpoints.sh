#!/bin/sh
# runc, but with a stand-in for CRIU, which needs kernels that fit it: `checkpoint` writes a file where the images would
# be, `restore` starts the container anew if it is there. Each command line is written to $0.log.
echo "$*" >>"$0.log"
for argument; do
    case $previous in
    --image-path) image=$argument ;;
    --bundle) bundle=$argument ;;
    --pid-file) pid_file=$argument ;;
    --console-socket) console="--console-socket $argument" ;;
    esac
    case $argument in
    --root=*) root=$argument ;;
    checkpoint | restore) command=$argument ;;
    --leave-running) leave_running=yes ;;
    esac
    previous=$argument
done
case $command in
checkpoint)
    echo "pages" >"$image/pages.img"
    if [ -e "$0.fails" ]; then
        echo "criu failed: type NOTIFY errno 0" >&2
        exit 1
    fi
    [ -n "$leave_running" ] || exec runc "$root" kill "$previous" KILL
    ;;
restore)
    if ! [ -e "$image/pages.img" ]; then
        echo "criu failed: no image in $image" >&2
        exit 1
    fi
    # shellcheck disable=SC2086 # No socket is no argument.
    exec runc "$root" run -d --bundle "$bundle" --pid-file "$pid_file" $console "$previous"
    ;;
*) exec runc "$@" ;;
esac
