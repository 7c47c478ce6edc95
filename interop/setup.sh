#!/bin/sh
# Installs what the network lab needs beyond the kernel: iptables, for the rules
# that hand packets to the delay emulator. With "services", also the programs that
# the service layer is shown and measured with. Does nothing where all is there.
set -e
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; }
packages=""
has iptables || packages="iptables"
if [ "$1" = services ]; then
	has nginx || packages="$packages nginx-light"
	has haproxy || packages="$packages haproxy"
	has memcached || packages="$packages memcached"
	has ab || packages="$packages apache2-utils"
fi
[ -z "$packages" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "install these with your package manager:$packages" >&2
	exit 1
fi
# The packages would start their servers, which nobody asked for.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null
