#!/bin/sh
# Shows discovery, transfer and failover with real processes on loopback addresses;
# see servald/internal/demo. Arguments are passed on, such as -size 1G.
set -eu
cd "$(dirname "$0")/.."
export GOFLAGS=-mod=mod
exec go run ./servald/internal/demo "$@"
