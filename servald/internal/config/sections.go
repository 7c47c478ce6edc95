package config

import (
	"net/netip"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/outbound"
)

// Node is how servald's own node carries what the other sections bring. It cannot be
// changed while servald runs, other than Drain.
type Node struct {
	Listen []netip.AddrPort `toml:"listen"` // for data, by UDP; none is every address of the host
	Policy serval.Policy    `toml:"policy"`
	Drain  Duration         `toml:"drain"` // for open connections when servald stops; 10 s
}

// Gossip is how the host takes part in the gossip of its cluster. It cannot be
// changed while servald runs.
type Gossip struct {
	Listen     string   `toml:"listen"`
	Advertise  string   `toml:"advertise"`
	Join       []string `toml:"join"`
	Rendezvous string   `toml:"rendezvous"`
}

// Addresses is where virtual addresses come from. It cannot be changed while servald
// runs.
type Addresses struct {
	IPv4 netip.Prefix `toml:"ipv4"` // 198.18.0.0/15
	File string       `toml:"file"` // where they are remembered; "addresses" beside the keys
}

// DNS answers for names of services and forwards other questions.
type DNS struct {
	Listen     []netip.AddrPort `toml:"listen"`      // 127.0.0.1:53
	Upstream   []string         `toml:"upstream"`    // what resolv.conf named before
	ResolvConf string           `toml:"resolv_conf"` // off, auto, file, resolved
}

// TUN is an interface whose traffic to virtual addresses servald carries.
type TUN struct {
	Device string `toml:"device"` // serval0
	MTU    int    `toml:"mtu"`    // 65520
	Max    int    `toml:"max"`    // open connections; 16384
}

// SOCKS5 is a proxy that most programs know how to use.
type SOCKS5 struct {
	Listen  []Listen          `toml:"listen"`  // localhost:1080
	Users   map[string]string `toml:"users"`   // names and passwords; none asks nobody
	Clients []netip.Prefix    `toml:"clients"` // addresses that clients may have; none is all
	Foreign outbound.Foreign  `toml:"foreign"` // other destinations than services
	Max     int               `toml:"max"`     // 16384
	// Handshake is how long a client may take to say what it wants; 10 s.
	Handshake Duration `toml:"handshake"`
	UDPMax    int      `toml:"udp_max"` // clients that have UDP; 1024
	UDPIdle   Duration `toml:"udp_idle"`
}

// HTTPProxy is a proxy for browsers, and for what reads $http_proxy.
type HTTPProxy struct {
	Listen  []Listen          `toml:"listen"` // localhost:3128
	Users   map[string]string `toml:"users"`
	Clients []netip.Prefix    `toml:"clients"`
	Foreign outbound.Foreign  `toml:"foreign"`
	Max     int               `toml:"max"`
	// Handshake is how long a client may take for the head of a request; 10 s.
	Handshake Duration `toml:"handshake"`
	Idle      Duration `toml:"idle"` // between requests; 2 min
}

// Expose puts a server that knows nothing of Serval behind a name. The keys are
// those of expose.Config.
type Expose struct {
	Name         sal.Name `toml:"name"`
	To           string   `toml:"to"`
	Ports        []string `toml:"ports"`
	Command      []string `toml:"command"`
	OnDemand     bool     `toml:"on_demand"`
	Dir          string   `toml:"dir"`
	Env          []string `toml:"env"`
	StartTimeout Duration `toml:"start_timeout"`
	IdleStop     Duration `toml:"idle_stop"`
	Proxy        string   `toml:"proxy"`
	ProxyAddress string   `toml:"proxy_address"`
	Weight       int      `toml:"weight"`
	Priority     int      `toml:"priority"`
	Balance      string   `toml:"balance"`
	Keys         []string `toml:"keys"`
	Check        string   `toml:"check"`
	Load         string   `toml:"load"`
	CheckEvery   Duration `toml:"check_every"`
	Max          int      `toml:"max"`
	MaxPerClient int      `toml:"max_per_client"`
	Backlog      int      `toml:"backlog"`
	DialTimeout  Duration `toml:"dial_timeout"`
	Idle         Duration `toml:"idle"`
	UDPIdle      Duration `toml:"udp_idle"`
}

// Forward makes a service reachable at an address of this host.
type Forward struct {
	Listen  Listen   `toml:"listen"`
	Name    sal.Name `toml:"name"`
	Port    uint16   `toml:"port"` // to ask for; 0 for none
	Max     int      `toml:"max"`
	Timeout Duration `toml:"timeout"`
	// Clients are the addresses that clients may have; none is all.
	Clients []netip.Prefix `toml:"clients"`
	UDPIdle Duration       `toml:"udp_idle"`
}

// Capture takes connections off the host's, or its clients', traffic by rules of the
// kernel's packet filter.
type Capture struct {
	Mode  string         `toml:"mode"`  // redirect (default) or tproxy
	From  string         `toml:"from"`  // host (default), clients or both
	To    []netip.Prefix `toml:"to"`    // addresses to capture; none is the virtual ones
	Ports []uint16       `toml:"ports"` // of them; none is all
	Name  sal.Name       `toml:"name"`  // that they mean; none is what the address stands for
	Users []string       `toml:"users"` // of the host whose traffic it is; none is all but servald's
	Max   int            `toml:"max"`
}

// Clients is what holds for all programs that reach services through servald.
type Clients struct {
	Timeout    Duration `toml:"timeout"`     // to connect; 10 s
	Pin        *bool    `toml:"pin"`         // keep a client with one instance; true
	PinFor     Duration `toml:"pin_for"`     // after its last connection; 5 s
	MaxDials   int      `toml:"max_dials"`   // under way at once; 1024
	DenyOthers bool     `toml:"deny_others"` // refuse names that no [[name]] fits
}

// Rule is what holds for some names and clients: the first that fits counts.
type Rule struct {
	Match   sal.Name       `toml:"match"`   // a service, or svc:shop/*
	Clients []netip.Prefix `toml:"clients"` // at these addresses only; none is all
	Deny    bool           `toml:"deny"`
	Policy  serval.Policy  `toml:"policy"`
	Pin     *bool          `toml:"pin"`
	Timeout Duration       `toml:"timeout"`

	// What DNS says of them, to all clients.
	Port      uint16       `toml:"port"`      // that they want, in SRV records
	ALPN      []string     `toml:"alpn"`      // what they speak inside TLS, in HTTPS records
	Addresses []netip.Addr `toml:"addresses"` // real ones, for clients on other hosts
}
