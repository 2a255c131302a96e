#!/usr/bin/env bash
# Tests the pages of the loyalty programme in headless Chromium: a street of five tablets, and phones. Needs Node and
# Chromium, as scripts/beaufort-web-test.sh does, which installs the latter.
#
# Usage: scripts/loyalty-test.sh [DIR]     DIR: where pictures of the pages go, if they are wanted
set -euo pipefail
pictures=${1:+$(realpath -m "$1")}
cd "$(dirname "$0")/.."

command -v node > /dev/null || { echo "This needs Node 20 or later: https://nodejs.org" >&2; exit 1; }
CHROMIUM=${CHROMIUM:-$(command -v chromium)} || { echo "This needs Chromium: give its path in CHROMIUM." >&2; exit 1; }
export CHROMIUM

output=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cargo build --package beaufort-node --package loyalty
scripts/loyalty.sh "$output/loyalty-pages"
export BEAUFORT=$output/debug/beaufort LOYALTY=$output/debug/loyalty PAGES=$output/loyalty-pages
export PICTURES=$pictures

cd services/loyalty/tests/browser
npm ci --no-audit --no-fund
npm test
