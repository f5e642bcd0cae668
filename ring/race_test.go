//go:build race

package ring

// raceEnabled says that the race detector is built in: it allocates, and it is
// slow.
const raceEnabled = true
