package top

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/shmbus/shmbus/internal/watch"
)

// bus makes a snapshot with a number of topics.
func bus(topics int) watch.Snapshot {
	s := watch.Snapshot{Bus: "default", Interval: 1, Host: &watch.Host{PID: 4711, Program: "shmbus", Memory: 16 << 20, MaxMemory: 1 << 30}}
	for i := range topics {
		s.Topics = append(s.Topics, watch.Topic{
			Topic: fmt.Sprintf("topic.%04d", i), Capacity: 1 << 20, Used: uint64(i) << 10 % (1 << 20), PublishedPS: float64(topics - i), BytesPS: float64(i),
			Lag: uint64(i), LostPS: float64(i % 3), Latency: watch.Latency{Count: 1, P50: 150 * time.Nanosecond, P99: time.Duration(i+1) * time.Microsecond},
			Publishers:  []watch.Publisher{{Name: "feed", PublishedPS: 1e6}},
			Subscribers: []watch.Subscriber{{Name: "slow", Mode: "reliable", Gates: true, Lag: 12345, Behind: 0.95}, {Slot: 3, Mode: "lossy"}},
			Gating:      "slow",
		})
	}
	return s
}

// screenOf is a model of a terminal that has shown a snapshot.
func screenOf(s watch.Snapshot, width, height int) *model {
	m := newModel(time.Second, func() watch.Snapshot { return s })
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(m.fetch())
	return m
}

func press(m *model, keys ...string) {
	special := map[string]rune{
		"up": tea.KeyUp, "down": tea.KeyDown, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "backspace": tea.KeyBackspace,
		"pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd, "space": tea.KeySpace,
	}
	for _, k := range keys {
		if code, ok := special[k]; ok {
			m.Update(tea.KeyPressMsg{Code: code})
			continue
		}
		m.Update(tea.KeyPressMsg{Code: []rune(k)[0], Text: k})
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

func plain(m *model) string { return escapes.ReplaceAllString(m.screen(), "") }

// lineWith returns the first line with a text.
func lineWith(t *testing.T, m *model, text string) string {
	t.Helper()
	for l := range strings.Lines(plain(m)) {
		if strings.Contains(l, text) {
			return l
		}
	}
	t.Fatalf("no line with %q:\n%s", text, plain(m))
	return ""
}

// TestFits: whatever keys are pressed, on whatever terminal, there are just its
// lines and none is wider.
func TestFits(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	keys := []string{"up", "down", "enter", "esc", "s", "r", "/", "t", "1", "backspace", "p", "space", "?", "pgup", "pgdown", "home", "end", "g", "G", "j", "k"}
	for _, n := range []int{0, 1, 5, 1000} {
		for _, terminal := range [][2]int{{80, 24}, {200, 50}, {40, 8}, {132, 10}} {
			m := screenOf(bus(n), terminal[0], terminal[1])
			for range 200 {
				press(m, keys[random.IntN(len(keys))])
				lines := strings.Split(plain(m), "\n")
				if len(lines) != terminal[1] {
					t.Fatalf("%d topics on %v: %d lines\n%s", n, terminal, len(lines), plain(m))
				}
				for _, l := range lines {
					if utf8.RuneCountInString(l) > terminal[0] {
						t.Fatalf("%d topics on %v: a line of %d\n%s", n, terminal, utf8.RuneCountInString(l), l)
					}
				}
			}
		}
	}
	if s := plain(screenOf(bus(1), 20, 5)); !strings.Contains(s, "too small") {
		t.Errorf("%q", s)
	}
}

// TestSortAndFilter: the order is what the second line says.
func TestSortAndFilter(t *testing.T) {
	m := screenOf(bus(30), 80, 24)
	first := func() string { return m.topics()[0].Topic }
	if first() != "topic.0000" || !strings.Contains(plain(m), "by rate") {
		t.Errorf("by rate %s is first", first())
	}
	for _, want := range []struct{ by, first string }{
		{"bytes", "topic.0029"}, {"lag", "topic.0029"}, {"loss", "topic.0002"}, {"p99", "topic.0029"}, {"name", "topic.0000"},
	} {
		press(m, "s")
		if first() != want.first || !strings.Contains(plain(m), "by "+want.by) {
			t.Errorf("by %s %s is first, want %s", want.by, first(), want.first)
		}
	}
	press(m, "r")
	if first() != "topic.0029" || !strings.Contains(plain(m), "(reversed)") {
		t.Errorf("reversed %s is first", first())
	}
	press(m, "/", "0", "0", "7", "enter")
	if len(m.topics()) != 1 || first() != "topic.0007" {
		t.Errorf("%d topics, %s first", len(m.topics()), first())
	}
	press(m, "/", "x")
	lineWith(t, m, "no topic has 007x in its name")
	press(m, "esc")
	if len(m.topics()) != 30 {
		t.Errorf("%d topics after the filter was cleared", len(m.topics()))
	}
}

// TestDrillIn: the selection stays with its topic, and shows everybody there.
func TestDrillIn(t *testing.T) {
	m := screenOf(bus(30), 80, 24)
	press(m, "down", "down")
	if m.selected != "topic.0002" {
		t.Fatalf("%s is selected", m.selected)
	}
	press(m, "s") // the order changes, the selection does not
	press(m, "enter")
	for _, text := range []string{"topic topic.0002", "PUBLISHER", "feed", "SUBSCRIBER", "slow", "gates", "#3"} {
		lineWith(t, m, text)
	}
	if l := lineWith(t, m, "slow"); !strings.Contains(l, "12.3k") || !strings.Contains(l, "███████▋") {
		t.Errorf("lag is not in %q", l)
	}
	press(m, "esc")
	if m.inside != "" || m.selected != "topic.0002" {
		t.Errorf("back in %q at %s", m.inside, m.selected)
	}
	press(m, "enter")
	m.Update(snapshotMsg(bus(1)))
	lineWith(t, m, "topic topic.0002 is gone")
}

// TestPause: the screen stays, histories go on.
func TestPause(t *testing.T) {
	m := screenOf(bus(3), 80, 24)
	press(m, "p")
	s := bus(3)
	s.Topics[0].PublishedPS = 999_999
	m.Update(snapshotMsg(s))
	lineWith(t, m, "PAUSED")
	if strings.Contains(plain(m), "1.00M") {
		t.Error("paused, and the screen changed")
	}
	if h := m.histories["topic.0000"].rate; len(h) != 2 || h[1] != 999_999 {
		t.Errorf("history %v", h)
	}
	press(m, "p")
	m.Update(snapshotMsg(s))
	lineWith(t, m, "1.00M")
}

// TestNoHost: it says so, and comes back.
func TestNoHost(t *testing.T) {
	m := screenOf(watch.Snapshot{Bus: "default", Problem: "nobody hosts it"}, 80, 24)
	lineWith(t, m, "no host: nobody hosts it")
	m.Update(snapshotMsg(bus(1)))
	lineWith(t, m, "pid 4711")
	if got := Text(watch.Snapshot{Bus: "b", Problem: "nobody hosts it"}); got != "bus b: nobody hosts it\n" {
		t.Errorf("%q", got)
	}
}

// TestText: without a terminal there is everything, in words.
func TestText(t *testing.T) {
	s := bus(1)
	s.Topics[0].Stalled = "pid 12 (desk)"
	s.Topics[0].Used = s.Topics[0].Capacity
	for _, want := range []string{"bus default", "topic topic.0000", "publisher  feed", "subscriber slow", "gates", "! stalled: pid 12 (desk)", "! slow holds publishers back: the ring is 100% full", "p99 1.0µs"} {
		if !strings.Contains(Text(s), want) {
			t.Errorf("no %q in\n%s", want, Text(s))
		}
	}
	if strings.Contains(Text(s), "\x1b") {
		t.Error("escapes in plain text")
	}
}

// TestNumbers: short, and right.
func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.3: "0.3", 5: "5", 999: "999", 1000: "1.00k", 12345: "12.3k", 999_999: "1.00M", 1.5e9: "1.50G", 2e30: ">999E"} {
		if got := count(v); got != want {
			t.Errorf("count(%v) = %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0B", 1023: "1.0K", 1536: "1.5K", 1 << 30: "1.0G"} {
		if got := size(v); got != want {
			t.Errorf("size(%v) = %s, want %s", v, got, want)
		}
	}
	for d, want := range map[time.Duration]string{150: "150ns", 2345: "2.3µs", 1_500_000: "1.5ms", 2 * time.Second: "2.0s"} {
		if got := span(watch.Latency{Count: 1}, d); got != want {
			t.Errorf("span(%d) = %s, want %s", d, got, want)
		}
	}
	if span(watch.Latency{}, 5) != "-" || bar(0.5, 4) != "██··" || bar(0.001, 4) != "▏···" || bar(2, 2) != "██" {
		t.Error("bars")
	}
	if got := spark([]float64{0, 7}, 3); got != " ▁█" {
		t.Errorf("%q", got)
	}
}
