package daemon

import (
	"os"
	"time"
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
	return s
}
