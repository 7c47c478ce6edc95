package config

import (
	"time"

	"github.com/serval-net/serval/servald/internal/expose"
)

// Options returns the section as package expose takes it.
func (e *Expose) Options(drain time.Duration) expose.Config {
	return expose.Config{
		Name: e.Name.String(), To: e.To, Ports: e.Ports, Command: e.Command, OnDemand: e.OnDemand,
		Dir: e.Dir, Env: e.Env, StartTimeout: e.StartTimeout.Duration, IdleStop: e.IdleStop.Duration,
		Proxy: e.Proxy, ProxyAddress: e.ProxyAddress,
		Weight: e.Weight, Priority: e.Priority, Balance: e.Balance, Keys: e.Keys,
		Check: e.Check, Load: e.Load, CheckEvery: e.CheckEvery.Duration,
		Max: e.Max, MaxPerClient: e.MaxPerClient, Backlog: e.Backlog,
		DialTimeout: e.DialTimeout.Duration, Idle: e.Idle.Duration, UDPIdle: e.UDPIdle.Duration, Drain: drain,
	}
}
