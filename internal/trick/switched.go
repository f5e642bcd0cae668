//go:build shmbus_tricks

package trick

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Each trick is on unless the environment names it.
var (
	ShortRoad   = on("short-road")
	Bias        = on("bias")
	Soft        = on("soft")
	LazyCursor  = on("lazy-cursor")
	Pauses      = on("pauses")
	Prefetch    = on("prefetch")
	CopyAtOnce  = on("copy-at-once")
	SharedClock = on("shared-clock")
)

var names []string

// Names are the tricks that this build can do without.
func Names() []string { return names }

func on(name string) bool {
	names = append(names, name)
	return !slices.Contains(off(), name)
}

func off() []string {
	return strings.FieldsFunc(os.Getenv(Variable), func(r rune) bool { return r == ',' })
}

func init() {
	for _, name := range off() {
		if !slices.Contains(names, name) {
			panic(fmt.Sprintf("trick: %s names %q, want some of %s", Variable, name, strings.Join(names, ", ")))
		}
	}
}
