#!/bin/bash
# fuzz.sh HOW_LONG: every fuzz target of the module for that long each: a time (5m) or a
# number of inputs (5000x).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?usage: fuzz.sh HOW_LONG}
grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' . >/dev/null || { echo "no fuzz targets" >&2; exit 1; }
grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do
  grep -hoE '^func Fuzz[A-Za-z0-9]+' "$dir"/*_test.go | sed 's/^func //' | while read -r target; do
    echo "$dir $target"
    out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 "$dir" 2>&1 < /dev/null) || { echo "$out"; exit 1; }
    tail -n 2 <<< "$out"
  done
done
