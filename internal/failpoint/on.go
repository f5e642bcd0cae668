//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Compiled says whether this build knows failpoints (build tag `failpoint`).
const Compiled = true

// Variable is the environment variable that holds the settings.
const Variable = "SHMBUS_FAILPOINTS"

// point is one setting. Everything but hits is constant after start.
type point struct {
	action string
	only   uint64 // the hit that acts, counted from 1; 0 = every hit
	hits   atomic.Uint64
}

var points = mustParse(os.Getenv(Variable))

// Enabled says whether the failpoint is set to `on`.
func Enabled(name string) bool {
	p := points[name]
	return p != nil && p.action == "on"
}

// Hit performs the action the failpoint is set to. It does nothing if there is none, if the action is `on`, or if
// another hit was asked for with @N.
func Hit(name string) {
	p := points[name]
	if p == nil {
		return
	}
	if n := p.hits.Add(1); p.only != 0 && n != p.only {
		return
	}
	switch p.action {
	case "kill":
		kill()
		select {} // where the signal is not immediate, nothing of the caller may run any more
	case "stop":
		stop()
	case "panic":
		panic(fmt.Sprintf("failpoint: %s: panic asked for by %s", name, Variable))
	}
}

func mustParse(settings string) map[string]*point {
	parsed, err := parse(settings)
	if err != nil {
		panic(err)
	}
	return parsed
}

// parse reads "name=action,name=action". Empty elements are skipped; a name given twice is an error.
func parse(settings string) (map[string]*point, error) {
	parsed := make(map[string]*point)
	for element := range strings.SplitSeq(settings, ",") {
		element = strings.TrimSpace(element)
		if element == "" {
			continue
		}
		name, setting, ok := strings.Cut(element, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("failpoint: %s: got %q, want name=action", Variable, element)
		}
		if parsed[name] != nil {
			return nil, fmt.Errorf("failpoint: %s: %q is set twice", Variable, name)
		}
		p, err := parseAction(setting)
		if err != nil {
			return nil, fmt.Errorf("failpoint: %s: %q: %w", Variable, name, err)
		}
		parsed[name] = p
	}
	return parsed, nil
}

func parseAction(setting string) (*point, error) {
	action, count, counted := strings.Cut(setting, "@")
	switch action {
	case "on":
		if counted {
			return nil, fmt.Errorf("got action %q: `on` takes no @N", setting)
		}
	case "kill", "stop", "panic":
	default:
		return nil, fmt.Errorf("got action %q, want on, kill, stop or panic (the last three also with @N)", setting)
	}
	p := &point{action: action}
	if counted {
		n, err := strconv.ParseUint(count, 10, 64)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("got action %q, want a number of at least 1 after the @", setting)
		}
		p.only = n
	}
	return p, nil
}
