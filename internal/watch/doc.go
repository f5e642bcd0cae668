// Package watch turns readings of a bus into what a person wants to see of it:
// rates, latencies of the last moment, who is behind, who holds up whom.
// `shmbus top` and the bridge for browsers show the same snapshots.
//
//	bus.Observer ──▶ Watcher.Look ──▶ Snapshot (plain values, JSON)
//
// A [Watcher] remembers the reading before to tell what happened since. It is
// used by one goroutine at a time.
package watch
