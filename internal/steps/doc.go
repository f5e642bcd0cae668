// Package steps kills participants of a ring between any two instructions of a call, and looks at what is left.
//
//	a worker (one thread)                                        a victim (this test binary, executed again)
//	 lay a ring out in fresh regions, seat survivors ──regions──▶ take a slot, prepare, int3
//	 first time: step to the end, note each address ◀──ptrace──▶ the call under test, one instruction at a time
//	 each boundary: run to that address again, SIGKILL ─────────▶ ✝ (its main thread stands between two instructions)
//	 check the regions as they are
//	 repair, as the host does; survivors go on; check everything
//
// A boundary is named by its number in the first, stepped run. Later victims run at full speed to a breakpoint at the
// same address, as often as it was passed the first time, so a kill costs one process and no more steps than a loop
// needs. The runtime's instructions within the call count as well; a call that sleeps in the kernel has one boundary
// more, in its sleep. While the first run is stepped, the runtime's other threads are held, so that nothing preempts.
//
// What is demanded at each boundary is in check_test.go, the calls are in the scenario files. The tests need linux/amd64
// and permission to trace own children.
package steps
