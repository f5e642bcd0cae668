// Package storm kills, stops and continues processes of a bus at random and
// checks what they saw.
//
//	arena ──── a bus in a directory of its own ─────────────────────────────┐
//	│                                                                       │
//	│  keeper        never killed: a reliable subscriber of every topic     │
//	│  wardens       take no slot: hosts, mostly                            │
//	│  victims       publishers, subscribers (reliable, lossy, with a       │
//	│                largest lag), churners that make topics and leave them │
//	│                      │ one pipe each                                  │
//	└──────────────────────┼────────────────────────────────────────────────┘
//	                       ▼
//	controller: chooses whom to kill, stop or continue, and when ─▶ History ─▶ Check
//
// All processes are the same program again (Child). Each tells the controller by
// its own pipe what it does: a publisher how far it may go before it calls
// Publish, and what was acknowledged after Publish has returned; a subscriber
// every message that it was given. A process that is killed leaves what it had
// told by then.
//
// A round is a set of topics and a number of kills. At its end all publishers
// leave, the keeper publishes a mark into each topic, and every subscriber must
// come to that mark. Then Check compares all histories, and the controller looks
// for what was left behind: descriptors, mappings, memory, files. The next round
// has other topics of other sizes on the same bus.
//
// Every choice comes from a seed: the controller's from the storm's, a child's
// from the one in its Spec. When processes run is the kernel's choice, so a
// failed storm replayed makes the same choices at other instants.
//
// The package is a test tool. Its functions are called from one goroutine unless
// they say otherwise.
package storm
