package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Path is what one publish runs through, as go tool objdump shows it.
type Path struct {
	functions []function
}

type function struct {
	name  string
	lines []instruction
}

type instruction struct {
	where string // file:line
	at    uint64 // bytes from the function's start
	text  string
}

const module = "github.com/shmbus/shmbus/"

// root is where a publish begins. All that it calls is on the path, but for
// what is apart.
const root = "bus.(*Publisher).Publish"

// apart are functions that the biased ones call, and why they are none.
var apart = map[string]string{
	"runtime.memmove":               "copies the payload",
	"time.Since":                    "reads the clock for the stamp",
	"ring.(*Producer).publishSlow":  "the ring is not biased to us, or something is due",
	"ring.(*Producer).waitForSpace": "the ring is full",
	"ring.(*Producer).wake":         "a subscriber sleeps",
	"ring.(*Clock).slowNow":         "the counter was calibrated anew",
	"runtime.ifaceeq":               "compares an error",
	"bus.(*publisher).publishOrNot": "the configuration drops when full",
	"bus.(*participant).explain":    "an error",
	"bus.(*Publisher).ended":        "the context has ended",
	"bus.(*participant).settle":     "the host asked for something",
	"bus.(*Publisher).refused":      "an error",
	"shm.FenceFull.abi0":            "there is no membarrier",
}

// isApart reports whether a called function is off the path: those above, and
// where the runtime never returns from, grows the stack or collects.
func isApart(name string) bool {
	for _, prefix := range []string{"runtime.panic", "runtime.gopanic", "runtime.morestack", "runtime.gcWriteBarrier"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return apart[name] != ""
}

// locked finds instructions that wait for the store buffer to drain.
var locked = regexp.MustCompile(`\bLOCK\b|\bXCHG[A-Z]* .*\(|\bMFENCE\b`)

var called = regexp.MustCompile(`\bCALL ([^ ]+)\(SB\)`)

// Disassemble prints the functions whose names match a regular expression, as
// go tool objdump -s does.
type Disassemble func(symbols string) (string, error)

// ReadPath reads the root and all that it calls, function by function.
// [ErrNoSymbol].
func ReadPath(disassemble Disassemble) (*Path, error) {
	p := &Path{}
	type call struct{ function, by string }
	for left := []call{{module + root, "users"}}; len(left) > 0; {
		c := left[0]
		left = left[1:]
		name := strings.TrimPrefix(c.function, module)
		if p.has(name) {
			continue
		}
		text, err := disassemble("^" + regexp.QuoteMeta(c.function) + "$")
		if err != nil {
			return nil, err
		}
		f := parse(name, text)
		if len(f.lines) == 0 {
			return nil, fmt.Errorf("%w as %s, called by %s", ErrNoSymbol, c.function, c.by)
		}
		p.functions = append(p.functions, f)
		for _, m := range called.FindAllStringSubmatch(text, -1) {
			if !isApart(strings.TrimPrefix(m[1], module)) {
				left = append(left, call{m[1], name})
			}
		}
	}
	return p, nil
}

func (p *Path) has(name string) bool {
	return slices.ContainsFunc(p.functions, func(f function) bool { return f.name == name })
}

var jump = regexp.MustCompile(`^(J[A-Z]+ )(0x[0-9a-f]+)$`)

// parse reads the listing of one function. Addresses in it are made offsets:
// where a program has the function is of no interest, and changes with all
// that lies before it.
func parse(name, text string) function {
	f := function{name: name}
	var start uint64
	for line := range strings.Lines(text) {
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == '\t' || r == '\n' })
		if strings.HasPrefix(line, "TEXT ") || len(fields) < 4 {
			continue
		}
		address, _ := strconv.ParseUint(strings.TrimSpace(fields[1]), 0, 64)
		if len(f.lines) == 0 {
			start = address
		}
		text := strings.ReplaceAll(strings.TrimSpace(fields[3]), module, "")
		if m := jump.FindStringSubmatch(text); m != nil {
			target, _ := strconv.ParseUint(m[2], 0, 64)
			text = m[1] + offset(target-start)
		}
		f.lines = append(f.lines, instruction{strings.TrimSpace(fields[0]), address - start, text})
	}
	return f
}

func offset(n uint64) string { return fmt.Sprintf("+%#x", n) }

// Locked returns the instructions on the path that have no place there: locked
// ones and full fences.
func (p *Path) Locked() []string {
	var found []string
	for _, f := range p.functions {
		for _, l := range f.lines {
			if locked.MatchString(l.text) {
				found = append(found, fmt.Sprintf("%s (%s): %s", f.name, l.where, l.text))
			}
		}
	}
	return found
}

// Part is the document's text about the path: how long each function is, and
// the instructions of the ring's own.
func (p *Path) Part() string {
	t := newTable("function", "instructions", "locked or fences")
	for _, f := range p.functions {
		bad := 0
		for _, l := range f.lines {
			if locked.MatchString(l.text) {
				bad++
			}
		}
		t.row("`"+f.name+"`", fmt.Sprint(len(f.lines)), fmt.Sprint(bad))
	}
	t.WriteString("\n```text\n")
	for _, f := range p.functions {
		if !strings.HasPrefix(f.name, "ring.") && !strings.HasPrefix(f.name, "shm.") {
			continue
		}
		fmt.Fprintf(t, "%s\n", f.name)
		for _, l := range f.lines {
			fmt.Fprintf(t, "  %-20s %-6s %s\n", l.where, offset(l.at), l.text)
		}
	}
	t.WriteString("```\n")
	return t.String()
}
