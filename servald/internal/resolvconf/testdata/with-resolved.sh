#!/bin/sh
# Runs a command on a host of its own, whose programs ask systemd-resolved. To be run in
# fresh mount, network and PID namespaces. $1 is where its files are, such as /.
set -e
root=${1%/}
shift
export LD_LIBRARY_PATH="$root/usr/lib/$(uname -m)-linux-gnu/systemd" PATH="$root/usr/bin:$PATH"
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/resolve /run/dbus
for file in passwd group; do
	cp /etc/$file /run/$file
	grep -q ^systemd-resolve: /run/$file || echo systemd-resolve:x:991:$([ $file = passwd ] && echo 991::/:/bin/false) >>/run/$file
	mount --bind /run/$file /etc/$file
done
chown systemd-resolve:systemd-resolve /run/systemd/resolve
echo nameserver 127.0.0.53 >/run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
ip link set lo up
cat >/run/dbus.conf <<E
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
E
dbus-daemon --config-file=/run/dbus.conf --nofork 2>/dev/null &
while [ ! -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
"$root/lib/systemd/systemd-resolved" >/run/resolved.log 2>&1 &
for try in 1 2 3 4 5 6 7 8 9; do
	resolvectl --no-pager status >/dev/null 2>&1 && break
	sleep 0.5
done
"$@"
