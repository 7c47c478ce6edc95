#!/bin/sh
# Installs what the network lab needs beyond the kernel: iptables, for the rules
# that hand packets to the delay emulator. Does nothing where it is there.
set -e
command -v iptables >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "the network lab needs iptables: install it with your package manager" >&2
	exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq iptables >/dev/null
