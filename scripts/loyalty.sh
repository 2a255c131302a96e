#!/usr/bin/env bash
# Builds the pages of the loyalty programme: plain files, to be served by `loyalty` or any other server.
#
# Usage: scripts/loyalty.sh [DIR]     (default: target/loyalty)
set -euo pipefail
pages=$(realpath -m "${1:-$(dirname "$0")/../target/loyalty}")
cd "$(dirname "$0")/.."
. scripts/wasm-toolchain.sh

# The street's file is the street's, and stays.
mkdir -p "$pages"
find "$pages" -mindepth 1 -maxdepth 1 ! -name street.json -exec rm -r {} +
scripts/beaufort-web.sh "$pages/beaufort"

output=${CARGO_TARGET_DIR:-target}/wasm
CARGO_PROFILE_RELEASE_OPT_LEVEL=s CARGO_PROFILE_RELEASE_LTO=true \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    wasm_cargo build --release --package loyalty --lib --target-dir "$output"
cargo run --quiet --package plenary-verify --example bindings -- \
    "$output/$wasm_target/release/loyalty.wasm" "$pages/wasm"
cp services/loyalty/pages/* "$pages"
