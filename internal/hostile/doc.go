// Package hostile attacks a bus from outside: it holds tests and nothing else.
//
//	host ──── publisher ══ victim ══▶ subscribers (reliable, lossy)     the topic that is attacked
//	   └───── publisher ══ bystander ══▶ subscriber                     the topic beside it
//	     ▲
//	test ┘ reopens their memory through /proc, steals their wake-ups, floods their sockets
//
// All but the attacker are processes of their own that use the bus as users
// do. What a process of the same user can do to the memory of a topic, nothing
// can prevent; what is promised all the same is that nobody crashes, hangs or
// reads out of bounds, that the topic is named as corrupt, and that every
// other topic goes on without a message lost. docs/reliability.md lists the
// faults and attacks, and the test of each.
//
// The package has no state and starts no goroutine outside its tests.
package hostile
