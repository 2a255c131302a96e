#!/usr/bin/env bash
# Measures what signatures cost in WebAssembly, under Node: scripts/wasm-costs.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/wasm-toolchain.sh
output=${CARGO_TARGET_DIR:-target}/wasm

command -v node > /dev/null || die "This needs Node 20 or later: https://nodejs.org"

export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=true \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
wasm_cargo_with_c build --release --package beaufort --example costs --target-dir "$output"
node scripts/wasm-costs.mjs "$output/$wasm_target/release/examples/costs.wasm"
