#!/usr/bin/env bash
# Builds receipt verification for WebAssembly and checks a receipt with it under Node:
#
#     scripts/wasm-verify.sh receipt.json genesis.toml
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 receipt.json genesis.toml" >&2
    exit 2
fi
receipt=$(realpath "$1")
genesis=$(realpath "$2")
cd "$(dirname "$0")/.."

. scripts/wasm-toolchain.sh
output=${CARGO_TARGET_DIR:-target}/wasm

command -v node > /dev/null || die "This needs Node 20 or later: https://nodejs.org"

# A module to ship: small, and without debug information.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=true \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
wasm_cargo build --release --package plenary-verify --lib --target-dir "$output"

cargo run --package plenary-verify --example bindings -- \
    "$output/$wasm_target/release/plenary_verify.wasm" "$output/package"
echo '{"name": "plenary-verify", "type": "module", "main": "plenary_verify.js"}' \
    > "$output/package/package.json"
node scripts/wasm-verify.mjs "$output/package" "$receipt" "$genesis"
