// Package examples holds programs of at most 100 lines, one idea each:
//
//	quickstart    publish and subscribe
//	zerocopy      fill a message in place, in shared memory
//	backpressure  what a publisher can do when the ring is full
//	lossy         a subscriber that holds nobody back and is told what it lost
//	httpservice   publish from the handlers of an HTTP service
//
// Each runs by itself ("go run ./examples/quickstart"), on the user's default
// bus, and is run by a test, on a bus of the test's own.
package examples
