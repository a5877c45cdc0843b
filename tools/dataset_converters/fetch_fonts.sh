#!/bin/sh
# Fetch the fonts of Debian's packages into a folder, without installing any: fetch_fonts.sh [OUT]
set -e
list="$(dirname "$0")/debian_fonts.txt"
out="${1:-data/fonts}"
if [ -e "$out" ]; then
    echo "$out is there already"
    exit
fi
for command in apt-get dpkg-deb; do
    if ! command -v $command >/dev/null; then
        echo "the fonts come from Debian's packages, and $command is not here: give a folder of fonts of your own," \
            "as in make evidence FONTS=/usr/share/fonts (figures are compared only on the same fonts)" >&2
        exit 1
    fi
done
partial="$out.partial"
rm -rf "$partial"
mkdir -p "$partial/packages"
packages="$(grep -v '^#' "$list")"
echo "fetching $(echo "$packages" | wc -l) packages of fonts, some 45 MB"
if ! (cd "$partial/packages" && apt-get download -qq -o APT::Sandbox::User=root $packages); then
    echo "apt-get could not download all of $list: see above; perhaps apt-get update helps, or another release of" \
        "Debian lacks some, then give a folder of fonts of your own, FONTS=/path" >&2
    exit 1
fi
for package in "$partial"/packages/*.deb; do
    dpkg-deb -x "$package" "$partial"
done
mv "$partial" "$out"
