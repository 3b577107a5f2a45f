#!/usr/bin/env bash
# Makes Debian packages from the programs of scripts/build.sh, with dpkg-deb and nothing else. The same source makes the
# same packages, byte for byte.
#
#   scripts/deb.sh [FOLDER]      where to put them; <target>/gantry/deb by default
#
# gantry                     the programs, the systemd unit, man pages, completions, the configuration file
# gantry-containerd-compat   containerd's and docker's names for them
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

readonly target=${CARGO_TARGET_DIR:-target}
readonly bin=$target/gantry/bin
out=${1:-$target/gantry/deb}
mkdir -p "$out"

command -v dpkg-deb >/dev/null || { echo "deb: dpkg-deb is missing: these packages are made on Debian or Ubuntu" >&2; exit 1; }
for program in gantryd gantry gantry-shim gantry-runtime; do
    [[ -x $bin/$program ]] || { echo "deb: there is no $program in $bin: run \"make build\"" >&2; exit 1; }
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
# Times in the packages: that of the commit, or of the changelog where there is no repository.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
readonly version architecture

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A file that dpkg wants: a package's control file, with its size.
control() { # ROOT PACKAGE ARCHITECTURE
    sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$3/" \
        -e "s/@SIZE@/$(du -k --apparent-size -s "$1" | cut -f 1)/" "packaging/deb/$2.control" >"$1/DEBIAN/control"
}

documents() { # ROOT PACKAGE
    local doc=$1/usr/share/doc/$2
    install -d "$doc"
    install -m 0644 packaging/deb/copyright "$doc/copyright"
    gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
}

pack() { # ROOT PACKAGE ARCHITECTURE
    (cd "$1" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0r md5sum >DEBIAN/md5sums)
    find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$1" "$out/$2_${version}_$3.deb" >/dev/null
    echo "deb: $out/$2_${version}_$3.deb"
}

main_package() {
    local root=$work/gantry share
    share=$root/usr/share
    install -d "$root/DEBIAN" "$root/usr/bin" "$root/lib/systemd/system" "$root/etc/gantry" "$share"
    install -m 0755 "$bin"/* "$root/usr/bin"
    install -m 0644 packaging/gantryd.service "$root/lib/systemd/system"
    scripts/docs.sh "$work/docs"
    install -m 0644 "$work/docs/gantryd.toml" "$root/etc/gantry"
    rm "$work/docs/gantryd.toml"
    cp -r "$work/docs/." "$share"
    find "$share/man" -type f -exec gzip -9n {} +
    documents "$root" gantry
    install -m 0644 README.md "$share/doc/gantry"
    echo /etc/gantry/gantryd.toml >"$root/DEBIAN/conffiles"
    install -m 0755 packaging/deb/gantry.{postinst,prerm,postrm} "$root/DEBIAN"
    (cd "$root/DEBIAN" && for script in gantry.*; do mv "$script" "${script#gantry.}"; done)
    control "$root" gantry "$architecture"
    pack "$root" gantry "$architecture"
}

compatible_package() {
    local root=$work/compat link
    install -d "$root/DEBIAN" "$root/usr/bin"
    while read -r link program; do
        ln -s "$program" "$root/usr/bin/$link"
    done <packaging/deb/compat.links
    documents "$root" gantry-containerd-compat
    control "$root" gantry-containerd-compat all
    pack "$root" gantry-containerd-compat all
}

main_package
compatible_package
