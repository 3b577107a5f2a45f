#!/usr/bin/env bash
# Runs tests in a guest that has what this machine may lack: another kernel, and cgroup version 2 alone.
#
#   scripts/guest.sh [FILTER...]
#   scripts/guest.sh --script FILE     runs a shell script in the guest instead, for a look around
#
# Debian's cloud kernel (fetched by scripts/setup.sh) is booted by qemu in software emulation, so that no KVM is needed. Its
# root is an initramfs with the programs of scripts/build.sh, the tests' own programs, busybox, runc, crun and criu.
# scripts/guest/tests names the tests; filters, parts of their names, choose some of them. Each test's result comes
# over the guest's second serial port. It is a failure when a test fails, when none ran, when the guest panics or
# leaves something behind, and when it takes longer than $GANTRY_GUEST_SECONDS.
#
# GANTRY_WRITE_TABLE=1 writes the validation's rows of cgroup version 2 into docs/runtime.md.
#
# What the guest wrote is kept in <target>/gantry/guest: results, and the console with the kernel's words.
set -euo pipefail
script=
if [[ ${1:-} == --script ]]; then
    script=$(realpath "${2:?guest: --script wants a file}")
    shift 2
fi
cd "$(dirname "$0")/.."

readonly limit_seconds=${GANTRY_GUEST_SECONDS:-1500}
# TCG takes some 10 to 20 times as long for user code.
readonly patience=${GANTRY_TEST_PATIENCE:-6}
readonly target=${CARGO_TARGET_DIR:-target}
readonly work=$target/gantry/guest
readonly kernel=${GANTRY_GUEST_KERNEL:-.cache/guest}
# Loaded at start: what CRIU asks the kernel with, locks a network with and restores, and a disk to limit the use of.
readonly modules=(
    unix_diag inet_diag tcp_diag udp_diag af_packet_diag netlink_diag
    nf_tables nf_conntrack_netlink iptable_filter ip6table_filter xt_mark tun veth
    null_blk
)

die() {
    echo "guest: $*" >&2
    exit 1
}

# The executables of the workspace's tests, one a line: crate's folder, test's name, path.
test_programs() {
    cargo test --locked --workspace --no-run 2>&1 |
        tee "$work/build.log" |
        sed -nE 's/^ *Executable tests\/([a-z_]+)\/main\.rs \((.*)\)$/\1 \2/p'
}

# Copies a program with the libraries that it is linked to, to where the loader looks for them.
add_program() {
    local from library
    from=$(command -v "$1" || ls "$1" 2>/dev/null) || die "$1 is not installed: run \`make setup\`"
    install -D "$from" "$root${2:-/bin}/$(basename "$1")"
    { ldd "$from" 2>/dev/null || true; } | grep -oE '/[^ ]+' | while read -r library; do
        [[ -e $root$library ]] || install -D "$library" "$root$library"
    done
}

# Copies a module and what it depends on.
add_module() {
    local module
    for module in $(awk -F: -v name="/$1.ko" 'index($1, name) { print $1 $2 }' "$dependencies"); do
        install -D -m 0644 "$from_modules/$module" "$root/lib/modules/$version/$module"
    done
}

make_root() {
    local name path applet
    mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,run,root,tests,gantry,lib/modules}
    ln -s bin "$root/sbin"
    install /bin/busybox "$root/bin/busybox"
    for applet in $(/bin/busybox --list); do
        [[ -e $root/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
    done
    mkdir -p "$root/usr"
    ln -s ../bin "$root/usr/bin"
    ln -s ../bin "$root/usr/sbin"
    for name in runc crun criu; do add_program "$name"; done
    # By these CRIU saves and restores a network namespace, and what is in a tmpfs.
    rm -f "$root"/bin/{ip,tar}
    add_program ip
    add_program tar
    add_program xtables-legacy-multi
    for name in {ip,ip6}tables{,-save,-restore}; do ln -s xtables-legacy-multi "$root/bin/$name"; done
    for name in mark standard; do
        add_program "/usr/lib/x86_64-linux-gnu/xtables/libxt_$name.so" /usr/lib/x86_64-linux-gnu/xtables
    done
    install "$target"/gantry/bin/* "$root/gantry/"
    if [[ -e $target/gantry/failpoints/gantryd ]]; then
        mkdir "$root/failpoints"
        for name in gantryd gantry-shim gantry-runtime; do strip -o "$root/failpoints/$name" "$target/gantry/failpoints/$name"; done
    fi
    test_programs >"$work/programs"
    while read -r name path; do
        strip -o "$root/tests/$name" "$path"
    done <"$work/programs"
    install scripts/guest/init "$root/init"
    install "${script:-scripts/guest/run}" "$root/run-tests"
    install -m 0644 scripts/guest/tests "$root/tests.list"
    printf '%s\n' "$@" >"$root/filters"
    {
        echo "export GANTRY_TEST_PATIENCE=$patience"
        [[ -z ${GANTRY_WRITE_TABLE:-} ]] || echo "export GANTRY_WRITE_TABLE=/run/table"
        echo "modules='${modules[*]}'"
    } >"$root/settings"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    for name in "${modules[@]}"; do add_module "$name"; done
    cp "$from_modules"/modules.{order,builtin} "$root/lib/modules/$version/"
    /bin/busybox depmod -b "$root" "$version"
}

[[ $(uname -m) == x86_64 ]] || die "the guest is an x86-64 machine, this one is not"
command -v qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64 is not installed: run \`make setup\`"
image=$(echo "$kernel"/boot/vmlinuz-*)
[[ -f $image ]] || die "no kernel in $kernel: run \`make setup\`"
readonly image version=${image##*/vmlinuz-}
readonly from_modules=$kernel/lib/modules/$version dependencies=$kernel/lib/modules/$version/modules.dep

mkdir -p "$work"
rm -rf "$work"/{root,initramfs,results,console}
readonly root=$work/root
make_root "$@"
(cd "$root" && find . | /bin/busybox cpio -o -H newc 2>/dev/null) >"$work/initramfs"
rm -rf "$root"

# No device but the two serial ports; whatever ends the kernel ends qemu.
status=0
timeout --kill-after=5 "$limit_seconds" qemu-system-x86_64 \
    -accel tcg,thread=multi -cpu qemu64,+pdpe1gb -smp 2 -m 3072 -nodefaults -no-user-config -no-reboot -display none \
    -kernel "$image" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1 random.trust_cpu=on cgroup_no_v1=all mitigations=off null_blk.nr_devices=1" \
    -serial "file:$work/console" -serial stdio </dev/null | tee "$work/results" || status=$?
rm -f "$work/initramfs"

show_console() {
    echo "guest: the end of its console ($work/console):" >&2
    tail -n 30 "$work/console" >&2
}
((status != 124 && status != 137)) || { show_console; die "still ran after $limit_seconds seconds"; }
((status == 0)) || { show_console; die "qemu ended with status $status"; }
[[ -z $script ]] || exit 0
# The last line is written when everything was counted; without it the guest did not get there.
grep -q '^guest: finished' "$work/results" || { show_console; die "it ended before its tests did"; }
if [[ -n ${GANTRY_WRITE_TABLE:-} ]]; then
    sed -n '/^table: begin/,/^table: end/p' "$work/results" | grep -v '^table: ' >"$work/table"
    sed -i -e "/<!-- table of version 2: begin -->/r $work/table" \
        -e '/<!-- table of version 2: begin -->/,/<!-- table of version 2: end -->/{/<!-- table/!d}' docs/runtime.md
fi
grep -qE '^guest: finished: [1-9][0-9]* passed, 0 failed' "$work/results" || die "tests failed, or none ran"
