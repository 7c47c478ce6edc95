package simnet

import "sync"

// watcher calls a function after changes of a host.
type watcher struct {
	event chan struct{} // holds one
	quit  chan struct{}
	done  chan struct{}
	end   sync.Once
}

// Watch implements underlay.Network. The end of the network also ends it.
func (h *Host) Watch(f func()) (stop func(), err error) {
	w := &watcher{event: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.watch[w] = struct{}{}
	go w.run(f)
	return func() {
		h.net.mu.Lock()
		delete(h.watch, w)
		h.net.mu.Unlock()
		w.stop()
	}, nil
}

// changed wakes the watchers. The caller holds the network's lock.
func (h *Host) changed() {
	for w := range h.watch {
		select {
		case w.event <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) run(f func()) {
	defer close(w.done)
	for {
		select {
		case <-w.quit:
			return
		case <-w.event:
			f()
		}
	}
}

func (w *watcher) stop() {
	w.end.Do(func() { close(w.quit) })
	<-w.done
}
