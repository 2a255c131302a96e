#!/usr/bin/env bash
# The whole experiment: measures on this machine what docs/performance reports, and draws its figures.
# Takes about half an hour and needs the machine for itself. What is in the directory already is kept.
#
# Usage: scripts/experiment.sh [DIR]     (default: results)
set -euo pipefail
out=$(realpath -m "${1:-results}")
cd "$(dirname "$0")/.."
program=${CARGO_TARGET_DIR:-target}/release/supply-chain

# Measures into a file or directory, unless it is there.
measure() {
  local part=$1
  shift
  if [ -e "$out/$part" ]; then
    echo "$out/$part is there already"
  else
    "$program" bench "$@"
  fi
}

mkdir -p "$out"
cargo build --release -p supply-chain
# This one goes on by itself where it was stopped.
"$program" bench latency --out "$out/latency"
"$program" bench latency --l1 4 --participation all --out "$out/latency-all"
measure load load --mode session,direct --clients 1,16,64,256 --out "$out/load"
measure ramp load --mode session,direct --ramp --out "$out/ramp"
measure plain.json plain --out "$out/plain.json"
measure plain-unsigned.json plain --unsigned --out "$out/plain-unsigned.json"
for validators in 4 16; do
  measure "rest-$validators.json" rest --validators "$validators" --json | tee "$out/rest-$validators.json"
done
measure catch-up.json catch-up --json | tee "$out/catch-up.json"

# Virtual time. The simulator is compiled for this one only.
cargo build --release -p supply-chain --features simulation
measure wan wan --out "$out/wan"
