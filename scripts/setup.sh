#!/usr/bin/env bash
# Installs what building, running and testing Gantry needs, where it is missing.
#
#   scripts/setup.sh [build|test|bench]
#
# `build` is enough for `make build` and `make run`; `test` (the default) adds what the tests use, `bench` what the
# benchmarks compare with. As root on Debian and Ubuntu it installs with apt-get, otherwise it names what is missing
# and the command to run. With everything there it is quick and touches no network.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly want=${1:-test}
case $want in
    build | test | bench) ;;
    *)
        echo "setup: unknown argument \"$want\": expected build, test or bench" >&2
        exit 2
        ;;
esac

# The virtual environment of the Python gRPC client that the tests run.
readonly python_env=.cache/python
readonly python_requirements=scripts/python-requirements.txt
# The kernel of the guest that scripts/guest.sh boots, unpacked. Another one's folder, with boot/ and lib/modules/ in it, can
# be named instead; GANTRY_GUEST=no leaves the guest out.
readonly guest_kernel=${GANTRY_GUEST_KERNEL:-.cache/guest}
guest=${GANTRY_GUEST:-yes}
[[ $(uname -m) == x86_64 ]] || guest=no
readonly guest

have() { command -v "$1" >/dev/null 2>&1; }
# gcc answers with the bare name when it does not know the library.
have_static_library() { have gcc && [[ $(gcc -print-file-name="$1") == /* ]]; }
have_static_busybox() { [[ -x /bin/busybox ]] && ! ldd /bin/busybox >/dev/null 2>&1; }

# What is missing, as Debian package names.
missing_packages() {
    have gcc || echo gcc
    have_static_library libc.a || echo libc6-dev
    have_static_library libseccomp.a || echo libseccomp-dev
    have_static_busybox || echo busybox-static
    have unshare || echo util-linux
    [[ $want != build ]] || return 0
    have runc || echo runc
    have python3 || echo python3
    if [[ $want == bench ]]; then
        have containerd || echo containerd
        have conmon || echo conmon
        return 0
    fi
    have crun || echo crun
    have criu || echo criu
    # CRIU locks and restores networks with these.
    have iptables || echo iptables
    have ip || echo iproute2
    have containerd || echo containerd
    have podman || echo podman
    have conmon || echo conmon
    have tmux || echo tmux
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    [[ $guest != yes ]] || have qemu-system-x86_64 || echo qemu-system-x86
}

# Some packages would start a daemon of theirs, such as containerd's; the tests start their own.
apt_install() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
    else
        policy=
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" || status=$?
    [[ -z $policy ]] || rm -f "$policy"
    return "$status"
}

install_packages() {
    local packages=("$@") log
    if [[ $(id -u) != 0 ]] || ! have apt-get; then
        {
            echo "setup: missing packages (Debian and Ubuntu names): ${packages[*]}"
            if have apt-get; then
                echo "setup: install them with:"
                echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
            else
                echo "setup: this system has no apt-get: install what gives the same files with its package manager"
            fi
        } >&2
        return 1
    fi
    echo "setup: installing ${packages[*]}"
    log=$(mktemp)
    # The package lists may be old or not there yet: fetch them only when the first try fails.
    if apt_install "${packages[@]}" >"$log" 2>&1 ||
        { apt-get update >>"$log" 2>&1 && apt_install "${packages[@]}" >>"$log" 2>&1; }; then
        rm -f "$log"
    else
        echo "setup: apt-get could not install ${packages[*]}; the end of its output:" >&2
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

check_rust() {
    if ! have cargo; then
        {
            echo "setup: cargo is missing. Install Rust with rustup (https://rustup.rs), then run this again."
            echo "setup: rust-toolchain.toml names the version; rustup fetches it by itself."
        } >&2
        return 1
    fi
    # In this folder rustup's cargo is the one of rust-toolchain.toml.
    if ! cargo --version >/dev/null; then
        echo "setup: cargo does not start; \"rustup toolchain install\" in this folder fetches the right one" >&2
        return 1
    fi
    [[ $want == test ]] || return 0
    local component tool
    for component in rustfmt:fmt clippy:clippy; do
        tool=${component#*:} component=${component%:*}
        cargo "$tool" --version >/dev/null 2>&1 && continue
        echo "setup: installing the toolchain's $component"
        if ! have rustup || ! rustup component add "$component"; then
            echo "setup: cargo $tool is missing; install it with \"rustup component add $component\"" >&2
            return 1
        fi
    done
}

# The environment is complete when it holds a copy of the requirements that it was made from.
setup_python() {
    cmp -s "$python_requirements" "$python_env/requirements.txt" && "$python_env/bin/python" -c '' 2>/dev/null && return
    echo "setup: making $python_env for the Python gRPC client"
    rm -rf "$python_env"
    mkdir -p "$(dirname "$python_env")"
    python3 -m venv "$python_env"
    "$python_env/bin/python" -m pip install --quiet --disable-pip-version-check -r "$python_requirements"
    cp "$python_requirements" "$python_env/requirements.txt"
}

# Unpacks Debian's kernel for virtual machines: it is not installed, and does not boot this machine.
setup_guest() {
    local package folder=$guest_kernel.new
    compgen -G "$guest_kernel/boot/vmlinuz-*" >/dev/null && return
    rm -rf "$folder"
    mkdir -p "$folder/download"
    kernel_package() {
        apt-cache depends linux-image-cloud-amd64 2>/dev/null |
            sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
    }
    package=$(kernel_package)
    [[ -n $package ]] || { apt-get update >/dev/null && package=$(kernel_package); }
    if [[ -z $package ]]; then
        echo "setup: no package linux-image-cloud-amd64 here: name a kernel's folder by GANTRY_GUEST_KERNEL, or leave" \
            "the guest out by GANTRY_GUEST=no" >&2
        return 1
    fi
    echo "setup: unpacking $package for the guest"
    # The lists may be older than the archive.
    (cd "$folder/download" && { apt-get download "$package" || { apt-get update && apt-get download "$package"; }; }) \
        >"$folder/log" 2>&1 || { cat "$folder/log" >&2 && return 1; }
    dpkg-deb -x "$folder"/download/*.deb "$folder"
    /bin/busybox depmod -b "$folder" "$(ls "$folder/lib/modules")"
    rm -rf "$folder"/{download,log,usr} "$guest_kernel"
    mv "$folder" "$guest_kernel"
}

main() {
    local packages status=0
    mapfile -t packages < <(missing_packages)
    if ((${#packages[@]})); then
        install_packages "${packages[@]}" || status=1
        mapfile -t packages < <(missing_packages)
        if ((status == 0 && ${#packages[@]})); then
            echo "setup: installed, but still not found in PATH or not static: ${packages[*]}" >&2
            status=1
        fi
    fi
    check_rust || status=1
    ((status == 0)) || exit "$status"
    if [[ $want == test ]]; then
        setup_python
        [[ $guest != yes ]] || setup_guest
    fi
}

main
