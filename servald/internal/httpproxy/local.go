package httpproxy

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/serval-net/serval/pkg/sal"
)

// local answers what is asked of the proxy itself: the PAC file.
func (s *Server) local(w http.ResponseWriter, r *http.Request) {
	// A web page whose own name leads to this address may ask as well (DNS rebinding).
	if !ownHost(r.Host) {
		s.fail(w, http.StatusMisdirectedRequest, "http_request_error", "this is a proxy: set it as one in your program")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.fail(w, http.StatusMethodNotAllowed, "http_request_error", "only the PAC file can be had here")
		return
	}
	at := listening(r)
	switch r.URL.Path {
	case "/proxy.pac", "/wpad.dat":
		w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
		fmt.Fprint(w, PAC(at))
	case "/":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "This is servald's HTTP proxy. For services, http://NAME%s/, set your program to the proxy\n%s, or your browser to the automatic configuration http://%s/proxy.pac\n", sal.DNSSuffix, at, at)
	default:
		s.fail(w, http.StatusNotFound, "http_request_error", "only /proxy.pac can be had here")
	}
}

// PAC is a proxy auto-configuration file that leads services to the proxy at an
// address, and all else where it would go without.
func PAC(at string) string {
	return fmt.Sprintf(`function FindProxyForURL(url, host) {
  host = host.toLowerCase();
  if (host.charAt(host.length - 1) == ".") host = host.substring(0, host.length - 1);
  if (dnsDomainIs(host, %q)) return "PROXY %s";
  return "DIRECT";
}
`, sal.DNSSuffix, at)
}

// listening returns the address at which the request came in.
func listening(r *http.Request) string {
	a, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if t, ok := a.(*net.TCPAddr); ok {
		return netip.AddrPortFrom(t.AddrPort().Addr().Unmap(), t.AddrPort().Port()).String()
	}
	return "localhost"
}

// ownHost reports whether a Host header names this host for certain: no name does that
// somebody could have given an address of ours.
func ownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "" || strings.EqualFold(host, "localhost")
}
