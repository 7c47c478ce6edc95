#!/bin/sh
# Shows Serval with real processes, in two parts: discovery, transfer and killed
# replicas on loopback addresses (servald/internal/demo), then live connections
# while the network breaks, in namespaces where this is root (interop/demo/story).
# Arguments are passed on to the first, such as -size 1G.
set -eu
cd "$(dirname "$0")/.."
export GOFLAGS="-mod=mod -trimpath" # as make builds, so that it need not be done twice
export CGO_ENABLED="${CGO_ENABLED:-0}"

echo "Part 1: services that are found by name, and replicas that are killed"
echo
go run ./servald/internal/demo "$@"

echo
echo "Part 2: downloads that go on while the network breaks"
echo
if [ "$(uname)" != Linux ]; then
	echo "Left out: it needs Linux, for namespaces, or else for loopback addresses such as 127.0.0.11."
	exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
	./interop/setup.sh || true # without it the story says what is missing
fi
mkdir -p bin out
go build -trimpath -o bin/ ./servald ./apps/web ./interop/demo/story
exec bin/story -out out/demo.svg
