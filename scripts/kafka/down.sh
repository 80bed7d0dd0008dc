#!/usr/bin/env bash
# Stops the broker that up.sh started in DIR, and waits until it is gone.
set -euo pipefail
dir=${1:?usage: down.sh DIR}
[ -f "$dir/pid" ] || exit 0
pid=$(cat "$dir/pid")
kill "$pid" 2>/dev/null || true
for _ in $(seq 1 80); do
  kill -0 "$pid" 2>/dev/null || { rm -f "$dir/pid" "$dir/port"; exit 0; }
  sleep 0.25
done
kill -9 "$pid" 2>/dev/null || true
rm -f "$dir/pid" "$dir/port"
