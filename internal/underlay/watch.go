package underlay

import (
	"reflect"
	"sync"
	"time"
)

// Watch implements Network: by netlink on Linux, where f is called within about
// a millisecond, else by looking every second.
func (u *UDP) Watch(f func()) (stop func(), err error) {
	changed := func() {
		u.refresh()
		f()
	}
	stop, err = subscribe(changed)
	if err != nil {
		stop = poll(changed)
	}
	return sync.OnceFunc(stop), nil
}

// refresh forgets what may no longer hold after a change.
func (u *UDP) refresh() {
	u.sources.forget()
	u.mu.Lock()
	defer u.mu.Unlock()
	for s := range u.open {
		s.refresh()
	}
}

// refresher is a socket that remembers something of its interface.
type refresher interface{ refresh() }

func (u *UDP) add(s refresher) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open == nil {
		u.open = make(map[refresher]struct{})
	}
	u.open[s] = struct{}{}
}

func (u *UDP) remove(s refresher) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, s)
}

// pollEvery is how often systems that do not tell of changes are looked at.
const pollEvery = time.Second

func poll(changed func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	last, _ := interfaces()
	go func() {
		defer close(done)
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if now, err := interfaces(); err == nil && !reflect.DeepEqual(now, last) {
				last = now
				changed()
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
