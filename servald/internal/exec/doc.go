// Package exec runs a program whose network is servald: in a network namespace of its
// own, whose only way out is a TUN that ends in this process, and in a mount namespace
// whose resolv.conf names servald's DNS server. It needs no privileges where the
// system lets users make namespaces.
//
// Three processes are involved:
//
//	front     the one that was started: passes signals on, stops and ends as the program does
//	 └ carrier    in a user namespace unless root: carries the traffic
//	    └ program     in the process group of who started the front, as the carrier
//
// The carrier lives in the host's network namespace. One locked thread of it lives in
// the program's namespaces: it has set them up, starts the program, and makes the
// sockets that are needed there later. The carrier goes on while the program is stopped,
// so that its connections live on, and stays after the program until the last process that
// the program has left behind is gone.
//
// The front leaves the process group that it was started in to the carrier and the
// program: so a signal for the group, such as the terminal's, comes to the program
// once, and what comes to the front was meant for the front alone and is passed on. The
// carrier catches all signals; it keeps the group alive, which the shell knows, when
// the program makes one of its own, and notices when the shell continues it. A front
// that leads its session cannot leave, and keeps the terminal's signals to itself.
//
// Nothing outlives the processes: namespaces, TUN and mounts go with the last of them.
// If the front is killed, the carrier kills the program and all its descendants; if
// the carrier is, the kernel kills the program and the front kills its descendants.
package exec
