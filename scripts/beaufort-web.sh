#!/usr/bin/env bash
# Builds the browser package: plain ES modules and the replica as WebAssembly, to be served or bundled as it is.
#
# Usage: scripts/beaufort-web.sh [DIR] [CARGO ARGUMENT...]     (default: target/beaufort-web)
set -euo pipefail
package=$(realpath -m "${1:-$(dirname "$0")/../target/beaufort-web}")
cd "$(dirname "$0")/.."
. scripts/wasm-toolchain.sh

output=${CARGO_TARGET_DIR:-target}/wasm
# A module to ship: fast, since signatures bound what a replica can do, and without debug information.
CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=true \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    wasm_cargo_with_c build --release --package beaufort-web --lib --target-dir "$output" "${@:2}"

rm -rf "$package"
mkdir -p "$package"
cp crates/beaufort-web/js/* "$package"
cargo run --quiet --package plenary-verify --example bindings -- \
    "$output/$wasm_target/release/beaufort_web.wasm" "$package/wasm"

# What offline.js keeps, all of it anew whenever some of it has changed.
cd "$package"
files=$(find . -name '*.js' -o -name '*.wasm' | LC_ALL=C sort)
version=$(cat $files | sha256sum | cut -c -16)
{
    echo "export const VERSION = \"$version\";"
    printf 'export const FILES = [%s];\n' "$(printf '"%s", ' $files)"
} > files.js
