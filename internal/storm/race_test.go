//go:build race

package storm

// raceEnabled: children are slow.
const raceEnabled = true
