package resolver

import (
	"context"
	"iter"
)

// Follower is a Lister that also tells what changes.
type Follower interface {
	// Follow tells all instances of all services, as Services does, and then
	// what becomes of them, until ctx ends or the loop is left. The first update
	// is a snapshot, though it be empty. Whoever is slow misses steps in between
	// but never where they lead: then several changes of an instance come as one,
	// or another snapshot does.
	Follow(ctx context.Context) iter.Seq[Update]
}

// Update is what has changed since the one before.
type Update struct {
	// Snapshot begins anew: what was told before and does not come again in this
	// and the following updates, up to the first without More, is gone.
	Snapshot bool

	// More says that the snapshot goes on in the next update, which comes at
	// once.
	More bool

	// Changes has each instance at most once.
	Changes []Change
}

// Change is what became of an instance: its service and node tell which.
type Change struct {
	// Instance is what it is now. Expires is zero: that it was renewed is not
	// told, that it has expired is. Version is that of the record that changed it.
	Instance

	// Gone says that it was withdrawn or has expired. Instance is then what it
	// was last.
	Gone bool
}
