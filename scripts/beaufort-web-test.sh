#!/usr/bin/env bash
# Tests the browser package in headless Chromium: seven pages as one network. Installs Chromium (Debian's, as root)
# and the driver from npm where they are missing. Takes a few minutes, most of them compiling.
#
# Usage: scripts/beaufort-web-test.sh
set -euo pipefail
cd "$(dirname "$0")/.."

command -v node > /dev/null || { echo "This needs Node 20 or later: https://nodejs.org" >&2; exit 1; }
if [ -z "${CHROMIUM:-}" ] && ! command -v chromium > /dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
        echo "This needs Chromium: install it, or give its path in CHROMIUM." >&2
        exit 1
    fi
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium
fi
export CHROMIUM=${CHROMIUM:-$(command -v chromium)}

output=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cargo build --package beaufort-node
# The liar is built first: both packages are of one crate, and the one to ship is to be the last.
scripts/beaufort-web.sh "$output/beaufort-web-byzantine" --features byzantine
scripts/beaufort-web.sh "$output/beaufort-web"
export BEAUFORT=$output/debug/beaufort PACKAGE=$output/beaufort-web BYZANTINE=$output/beaufort-web-byzantine

cd crates/beaufort-web/tests
npm ci --no-audit --no-fund
npm test
