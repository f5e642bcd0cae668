// Package control sets up a bus and keeps it whole: which directory it lives in,
// who hosts it, who is here, who may have which slot of which ring, and what is
// done when somebody dies. No message of a topic ever passes through it; what it
// hands over are descriptors of shared memory.
//
//	 participant                                     host (any participant, or a server)
//	┌──────────────┐  control.sock: JSON + descriptors  ┌───────────────────────┐
//	│ Client       │◀──────────────────────────────────▶│ names, slots, regions │
//	│  Member ─────┼──▶ members: OFD lock (alive)  ◀────┼─ MemberAlive          │
//	└──────┬───────┘    host.lock: flock (who hosts) ◀──┼─ HostLock             │
//	       │                                            │ Peer.Done ◀── pidfd   │
//	       │ regions, mapped                            └──────────┬────────────┘
//	       └──────────────▶ ring (log, cursors) ◀── repair ────────┘
//
// # The bus directory
//
// A bus is a directory, root/NAME, mode 0700, opened without following a link,
// its owner and mode checked. Everything is reached through its descriptor.
//
//	control.sock   the host's socket (SOCK_SEQPACKET), 0600
//	host.lock      flock: its holder is the host
//	members        OFD locks, one byte a member: who holds one is alive
//	.group         only in group mode, which makes the directory 0750 and the
//	               socket 0660 of that group; a 0750 directory without it is refused
//
// All of them may be left behind; none needs cleaning. The locks belong to open
// files, so they end with their process in every kind of death.
//
// # Life of a bus
//
// The first to open it takes host.lock (TryHostLock), listens (Listen), and is
// the host; the others connect (Dial). Each holds a member lock (JoinMembers)
// for life. If the host goes, one of the others gets host.lock and listens; the
// rest connect again and offer their descriptors, which the new host validates
// and adopts. Whoever does not come back is judged by its member lock, not by
// time. Publishing and consuming never notice.
//
// # Trust and crashes
//
// The directory keeps other uids out; both sides check each other's uid by the
// kernel's word, not the peer's. Processes of one uid can harm each other by
// other means, so here the aim is that none does by accident: what comes in over
// the socket is bounded, decoded version first, and a malformed message costs
// its sender the connection and nobody else anything. Descriptors nobody asked
// for are closed. A peer is dead when its pidfd says so and its connection has
// ended, never by timeout and never by its pid.
//
// # Goroutines
//
// A type is for one goroutine at a time unless its comment says otherwise. Close
// is idempotent, and of a connection or a listener may be called from anywhere.
// No goroutine outlives the Close of what started it.
//
// # Caveats
//
// Linux on 64-bit processors only; elsewhere everything returns
// errors.ErrUnsupported. /proc must be mounted. Whoever removes both lock files under a running host makes room for a
// second one (see HostLock).
package control
