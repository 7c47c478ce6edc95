// Package notify tells the service manager, where there is one, how a daemon is: the
// protocol of systemd's sd_notify.
package notify

import (
	"fmt"
	"net"
	"os"
)

// Ready says that the daemon has started, and status in words. Without a service
// manager it does nothing.
func Ready(status string) error { return send("READY=1\nSTATUS=" + status) }

// Reloading says that the daemon reads its configuration again; Ready ends it.
func Reloading() error {
	return send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
}

// Stopping says that the daemon is about to end.
func Stopping() error { return send("STOPPING=1") }

func send(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling the service manager at NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}
