#!/bin/sh
# Installs what the network lab needs beyond the kernel: iptables, for the rules
# that hand packets to the delay emulator. With "services", also the programs that
# the service layer is shown and measured with; with "programs", those that know
# nothing of Serval and are run over it, and with "test" the small ones of them.
# Does nothing where all is there.
set -e
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; }
packages=""
want() { has "$1" || packages="$packages $2"; }
has iptables || packages="iptables"
if [ "$1" = services ]; then
	want nginx nginx-light
	want haproxy haproxy
	want memcached memcached
	want ab apache2-utils
fi
if [ "$1" = programs ] || [ "$1" = test ]; then
	want nft nftables
	want nginx nginx-light
	want curl curl
	want wget wget
	want ab apache2-utils
	/usr/bin/python3 -c 'import websockets' 2>/dev/null || packages="$packages python3 python3-websockets"
	want iperf3 iperf3
	want ssh openssh-client
	want sshd openssh-server
	want nc netcat-openbsd
	want git git
	want redis-server redis-server
	want redis-cli redis-tools
	want memcached memcached
	want memccat libmemcached-tools
	want psql postgresql-client
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || packages="$packages postgresql"
	want dig dnsutils
	want dnsmasq dnsmasq-base
	want ping iputils-ping
fi
if [ "$1" = programs ]; then
	want openssl openssl
	want elinks elinks
	want chromium chromium
	want wrk wrk
	want haproxy haproxy
	want rsync rsync
	want tftp tftp-hpa
	want in.tftpd tftpd-hpa
	want sipp sip-tester
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
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $packages >/dev/null && exit 0
# One that is not to be had should not keep the others away.
for p in $packages; do
	apt-get install -y -qq --no-install-recommends "$p" >/dev/null || { echo "without $p" >&2; missing=1; }
done
exit ${missing:-0}
