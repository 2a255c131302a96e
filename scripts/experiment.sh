#!/usr/bin/env bash
# The whole experiment: measures on this machine what docs/performance reports, and draws its figures.
# Takes about half an hour and needs the machine for itself; with --long, which plays 1,000,000 steps at the end, a
# quarter of an hour more. What is in the directory already is kept.
#
# Usage: scripts/experiment.sh [--long] [DIR]     (default: results)
set -euo pipefail
long=
if [ "${1:-}" = --long ]; then
  long=1
  shift
fi
out=$(realpath -m "${1:-results}")
cd "$(dirname "$0")/.."
program=${CARGO_TARGET_DIR:-target}/release/supply-chain

# Whether a part is still to be measured.
lacks() {
  if [ -e "$out/$1" ]; then
    echo "$out/$1 is there already"
    return 1
  fi
}

# Keeps what a command prints as JSON.
keep() {
  local file=$out/$1
  shift
  "$program" bench "$@" --json > "$file.part"
  mv "$file.part" "$file"
}

mkdir -p "$out"
cargo build --release -p supply-chain
# This one goes on by itself where it was stopped.
"$program" bench latency --out "$out/latency"
lacks latency-all && "$program" bench latency --l1 4 --participation all --pause 20ms --out "$out/latency-all"
lacks load && "$program" bench load --mode session,direct --clients 1,16,64,256 --seconds 12 --out "$out/load"
lacks ramp && "$program" bench load --mode session,direct --ramp --seconds 10 --out "$out/ramp"
lacks plain.json && "$program" bench plain --out "$out/plain.json"
lacks plain-unsigned.json && "$program" bench plain --unsigned --out "$out/plain-unsigned.json"
lacks rest-4.json && keep rest-4.json rest
lacks rest-16.json && keep rest-16.json rest --validators 16
lacks catch-up.json && keep catch-up.json catch-up

if [ -n "$long" ] && lacks long; then
  "$program" bench load --workflows 143000 --clients 64 --out "$out/long"
fi

# Virtual time. The simulator is compiled for this one only.
if lacks wan; then
  cargo build --release -p supply-chain --features simulation
  "$program" bench wan --out "$out/wan"
fi
