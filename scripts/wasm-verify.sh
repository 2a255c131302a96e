#!/usr/bin/env bash
# Builds receipt verification for WebAssembly and checks a receipt with it under Node:
#
#     scripts/wasm-verify.sh receipt.json genesis.toml
#
# Compiles with rustup's wasm32-unknown-unknown where it is installed, otherwise with Debian's
# compiler, which builds the standard library from its sources.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 receipt.json genesis.toml" >&2
    exit 2
fi
receipt=$(realpath "$1")
genesis=$(realpath "$2")
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
output=${CARGO_TARGET_DIR:-target}/wasm
debian=(rustc-web rust-web-src lld-22)

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

command -v node > /dev/null || die "This needs Node 20 or later: https://nodejs.org"

# A module to ship: small, and without debug information.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=true \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
build=(build --release --package plenary-verify --lib --target "$target" --target-dir "$output")

if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    cargo "${build[@]}"
else
    if ! dpkg --status "${debian[@]}" > /dev/null 2>&1; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
            die "Rust cannot compile for WebAssembly here. Install its target:" \
                "    rustup target add $target" \
                "or, on Debian, as root, the compiler that has it:" \
                "    apt-get install ${debian[*]}"
        fi
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${debian[@]}"
    fi
    # The bootstrap variable permits -Zbuild-std, which no stable compiler does by itself.
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22 \
        cargo "${build[@]}" -Zbuild-std=std,panic_abort
fi

cargo run --package plenary-verify --example bindings -- \
    "$output/$target/release/plenary_verify.wasm" "$output/package"
node scripts/wasm-verify.mjs "$output/package" "$receipt" "$genesis"
