#!/bin/bash
# bombs.sh: feeds that never end, at full size, through the whole control loop: 1 GiB in one
# line, and more than 1 GiB packed by gzip and by zip. Writes 2 GiB to temporary files.
set -euo pipefail
cd "$(dirname "$0")/.."
SHOJI_BOMBS=1 go test -count=1 -run '^TestBombs$' ./cmd/shoji
