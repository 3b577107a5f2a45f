#!/usr/bin/env bash
# Installs the packages of scripts/deb.sh into an empty root that has nothing but a shell, starts the daemon there by its
# unit's command line, and runs the README's first example. Needs root; leaves nothing behind.
#
#   scripts/deb-check.sh [FOLDER]      of the packages; <target>/gantry/deb by default
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/parent-cgroups.sh
. scripts/parent-cgroups.sh

packages=${1:-${CARGO_TARGET_DIR:-target}/gantry/deb}
packages=$(realpath "$packages")
[[ $(id -u) == 0 ]] || { echo "deb-check: containers need root: run this as root, for example with sudo" >&2; exit 1; }

root=$(mktemp -d "${TMPDIR:-/tmp}/gantry-test-deb-XXXX")
cgroups_before=$(gantry_cgroups)
cleanup() {
    remove_gantry_cgroups_except "$cgroups_before"
    # The namespace of mounts has gone with its last process; what is left is files.
    rm -rf --one-file-system "$root"
}
trap cleanup EXIT

# A root with a shell and dpkg's book-keeping: what the packages' own scripts need.
mkdir -p "$root"/{bin,dev,etc,proc,run,sys,tmp,usr/bin,mnt} "$root"/var/lib/dpkg/{info,updates,triggers}
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
cp /bin/busybox "$root/bin/busybox"
for name in sh rmdir cat sleep grep sed kill ls mount umount; do ln -s busybox "$root/bin/$name"; done

dpkg --root="$root" --force-not-root --log=/dev/null --install "$packages"/*.deb >"$root/tmp/dpkg.log" 2>&1 ||
    { cat "$root/tmp/dpkg.log" >&2; exit 1; }
echo "deb-check: installed $(dpkg-query --admindir="$root/var/lib/dpkg" --show --showformat='${Package} ${Version}, ')into an empty root"

cat >"$root/tmp/try" <<'TRY'
set -eu
# The unit's command line, as systemd would run it.
command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/gantryd.service)
$command >/tmp/gantryd.log 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon; cat /tmp/gantryd.log >&2' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -S /run/gantry/gantryd.sock ] && break
    sleep 0.2
done
/usr/bin/gantryd config check
/usr/bin/gantry run --rm
[ "$(/usr/bin/gantry run --rm sh -c 'echo from inside; exit 7' || echo "status $?")" = "from inside
status 7" ]
# The names of containerd, where that package is installed too.
if [ -e /usr/bin/ctr ]; then
    /usr/bin/containerd --version | grep -q '^containerd version 0\.2\.'
    /usr/bin/ctr --address unix:///run/gantry/gantryd.sock version
fi
kill -HUP $daemon
kill $daemon
wait $daemon
trap - EXIT
grep -q 'containers keep running' /tmp/gantryd.log
TRY

# A mount namespace of its own, and in it the new root as the real one: as on a freshly booted machine.
# shellcheck disable=SC2016 # The inner shell expands.
unshare --mount --propagation private bash -euc '
    root=$1
    mount --bind "$root" "$root"
    mount --rbind /proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs run "$root/run"
    cd "$root"
    pivot_root . mnt
    exec /bin/sh -c "umount -l /mnt; exec /bin/sh /tmp/try"
' bash "$root"

dpkg --root="$root" --force-not-root --log=/dev/null --purge gantry-containerd-compat gantry >/dev/null
[[ ! -e $root/usr/bin/gantryd && ! -e $root/etc/gantry && ! -e $root/usr/bin/ctr ]] ||
    { echo "deb-check: the packages leave files behind when they are purged" >&2; exit 1; }
echo "deb-check: started by the unit's command line, ran the README's first example, and purged"
