package daemon

import (
	"os"
	"time"

	"github.com/serval-net/serval/servald/internal/component"
)

// Status is what a daemon tells of itself.
type Status struct {
	Node    string    `json:"node"`
	Name    string    `json:"name,omitempty"`
	Cluster string    `json:"cluster"`
	Expires time.Time `json:"expires"` // of the membership
	Started time.Time `json:"started"`
	PID     int       `json:"pid"`
	Socket  string    `json:"socket"`
	Gossip  string    `json:"gossip"` // what others can use as a seed
	Members []Member  `json:"members"`

	// Config is the file that was read at Reloaded, empty for none; Sections are what
	// runs because of it.
	Config   string             `json:"config,omitempty"`
	Reloaded time.Time          `json:"reloaded,omitzero"`
	Sections []component.Status `json:"sections"`
}

// Member is a node that takes part in the gossip.
type Member struct {
	Node   string `json:"node"`
	Gossip string `json:"gossip"`
}

func (d *daemon) status() Status {
	self := d.cfg.Identity.Peer()
	s := Status{
		Node: self.Node.String(), Name: self.Name, Cluster: self.Cluster.String(), Expires: self.Expires,
		Started: d.started, PID: os.Getpid(), Socket: d.cfg.Socket, Gossip: d.gossip.Addr().String(), Members: []Member{},
	}
	for _, m := range d.gossip.Members() {
		s.Members = append(s.Members, Member{m.Node.String(), m.Addr.String()})
	}
	s.Sections = d.sections.Status()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Config = d.cfg.File; s.Config != "" {
		s.Reloaded = d.reloaded
	}
	return s
}
