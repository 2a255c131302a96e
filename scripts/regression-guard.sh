#!/usr/bin/env bash
# Counts the instructions of the paths that matter, and fails where one has grown. With `update` it
# keeps what is counted now; with `profile` it prints where the instructions go. It needs Valgrind,
# and installs it where it may.
#
# Usage: scripts/regression-guard.sh [check|update|profile]
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v valgrind >/dev/null; then
  echo "installing valgrind" >&2
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends valgrind; } >&2; then
    echo "valgrind is missing and cannot be installed from here: as root, apt-get install valgrind" >&2
    exit 1
  fi
fi

# The services' program is built with it, so that both share one build of everything below.
cargo build --release --quiet -p plenary-guard -p supply-chain
exec "${CARGO_TARGET_DIR:-target}/release/plenary-guard" "${1:-check}"
