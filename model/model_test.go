package model

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// full has every scene and mutant explored, not only those that take seconds.
var full = os.Getenv("SHMBUS_FULL") != ""

func TestScenes(t *testing.T) {
	for i := range Scenes {
		sc := &Scenes[i]
		if !full && !sc.Quick {
			continue
		}
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			r := Explore(sc, None, Limits{States: MostStates})
			t.Log(r)
			if r.Violation != "" {
				t.Fatalf("%s\n%s", r.Violation, strings.Join(r.Trace, "\n"))
			}
			if !full && !r.Complete {
				t.Fatal("too large a scene to be a quick one")
			}
		})
	}
}

// TestMutants takes away one defence after the other. A model that did not
// notice would prove nothing.
func TestMutants(t *testing.T) {
	for _, mu := range Mutants {
		if !full && mu.Slow {
			continue
		}
		t.Run(mu.Name, func(t *testing.T) {
			t.Parallel()
			r := Explore(SceneNamed(mu.Scene), mu.Mutation, Limits{States: MostStates})
			t.Log(r)
			switch {
			case mu.Harmless == "" && r.Violation == "":
				t.Errorf("%s: %s, and nothing notices", mu.Name, mu.What)
			case mu.Harmless != "" && r.Violation != "":
				t.Errorf("%s: %s, is not harmless\n%s", mu.Name, mu.What, strings.Join(r.Trace, "\n"))
			}
		})
	}
}

// TestEveryMutationIsShown keeps the list and the switches in the steps
// together.
func TestEveryMutationIsShown(t *testing.T) {
	shown := map[Mutation]bool{None: true}
	for _, mu := range Mutants {
		shown[mu.Mutation] = true
		if SceneNamed(mu.Scene) == nil {
			t.Errorf("%s: no scene %q", mu.Name, mu.Scene)
		}
	}
	for x := range mutations {
		if !shown[x] {
			t.Errorf("mutation %d is shown nowhere", x)
		}
	}
	if n := len(lockMutants) + len(recordMutants) + len(waitMutants); n != 42 {
		t.Errorf("%d mutations of the earlier list, want 42", n)
	}
}

// TestStatesSurviveEncoding walks a scene and compares each state with what is
// decoded from its encoding.
func TestStatesSurviveEncoding(t *testing.T) {
	for _, name := range []string{"wait: one sleeper", "lossy: park", "attach: at the oldest", "exclusive: at the oldest"} {
		m := newMachine(SceneNamed(name), None)
		level := [][]byte{m.initial().encode(m, nil)}
		for range 12 {
			var next [][]byte
			for _, b := range level[:min(len(level), 50)] {
				var s, back state
				s.decode(m, b)
				m.successors(&s, func(u *state) {
					e := u.encode(m, nil)
					if rest := back.decode(m, e); len(rest) != 0 || !slices.Equal(e, back.encode(m, nil)) || back != *u {
						t.Fatalf("%s: a state comes back as another", name)
					}
					next = append(next, e)
				})
			}
			level = next
		}
	}
}

func TestTableTellsStatesApart(t *testing.T) {
	tab := newTable()
	const n = 200_000
	for i := range uint32(n) {
		if got, isNew := tab.insert(uint64(i+1)*0x9e3779b97f4a7c15, i); got != i || !isNew {
			t.Fatalf("state %d is %d, new %t", i, got, isNew)
		}
	}
	for i := range uint32(n) {
		if got, isNew := tab.insert(uint64(i+1)*0x9e3779b97f4a7c15, n); got != i || isNew {
			t.Fatalf("state %d came back as %d, new %t", i, got, isNew)
		}
	}
}
