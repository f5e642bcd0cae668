package top

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"

	"github.com/shmbus/shmbus/internal/watch"
)

// historyLength is how many intervals a sparkline can look back.
const historyLength = 120

// order is what topics are sorted by.
type order int

const (
	byRate order = iota
	byBytes
	byLag
	byLoss
	byLatency
	byName
	orders
)

func (o order) String() string {
	return [...]string{"rate", "bytes", "lag", "loss", "p99", "name"}[o]
}

// history is what a topic did in the last intervals.
type history struct {
	rate []float64
	p99  []float64
	seen bool
}

// model is the state of the screen.
type model struct {
	look     func() watch.Snapshot // takes a snapshot
	interval time.Duration

	now       watch.Snapshot
	ready     bool // now is a snapshot
	histories map[string]*history

	width, height int
	sort          order
	reverse       bool
	filter        string
	typing        bool // the filter
	paused        bool
	help          bool
	selected      string // topic; stays with it when the order changes
	inside        string // topic drilled into, "" for all
	scroll        int    // first line shown of the details
}

type (
	snapshotMsg watch.Snapshot
	tickMsg     struct{}
)

// Run shows the bus until the user quits, or until ctx ends, whose error it
// then returns. Standard input and output must be a terminal ([IsTerminal]).
func Run(ctx context.Context, w *watch.Watcher, interval time.Duration) error {
	m := newModel(interval, func() watch.Snapshot { return Look(ctx, w, interval) })
	// The terminal sends ctrl+c as a key; other signals end ctx.
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithoutSignalHandler()).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Look takes a snapshot. A host that does not answer within an interval, or a
// second if that is longer, is the snapshot's problem.
func Look(ctx context.Context, w *watch.Watcher, interval time.Duration) watch.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, max(interval, time.Second))
	defer cancel()
	return w.Look(ctx)
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(f.Fd()) }

func newModel(interval time.Duration, look func() watch.Snapshot) *model {
	return &model{look: look, interval: interval, histories: map[string]*history{}, width: 80, height: 24}
}

// Init implements [tea.Model].
func (m *model) Init() tea.Cmd { return m.fetch }

// fetch takes a snapshot. One at a time: the next tick starts when it is here.
func (m *model) fetch() tea.Msg { return snapshotMsg(m.look()) }

// Update implements [tea.Model].
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case snapshotMsg:
		m.take(watch.Snapshot(msg))
		return m, tea.Tick(m.interval, func(time.Time) tea.Msg { return tickMsg{} })
	case tickMsg:
		return m, m.fetch
	case tea.KeyPressMsg:
		return m, m.key(msg.String(), msg.Text)
	}
	return m, nil
}

// take shows a snapshot, unless paused: then only the histories go on.
func (m *model) take(s watch.Snapshot) {
	for _, h := range m.histories {
		h.seen = false
	}
	for i := range s.Topics {
		t := &s.Topics[i]
		h := m.histories[t.Topic]
		if h == nil {
			h = &history{}
			m.histories[t.Topic] = h
		}
		h.seen = true
		if s.Interval > 0 {
			h.rate = remember(h.rate, t.PublishedPS)
			h.p99 = remember(h.p99, float64(t.Latency.P99))
		}
	}
	for name, h := range m.histories {
		if !h.seen {
			delete(m.histories, name)
		}
	}
	if !m.paused || !m.ready {
		m.now, m.ready = s, true
	}
}

func remember(values []float64, v float64) []float64 {
	if len(values) == historyLength {
		copy(values, values[1:])
		values = values[:historyLength-1]
	}
	return append(values, v)
}

// key does what a key says.
func (m *model) key(key, text string) tea.Cmd {
	if key == "ctrl+c" {
		return tea.Quit
	}
	if m.typing {
		m.edit(key, text)
		return nil
	}
	switch key {
	case "q":
		return tea.Quit
	case "?", "h":
		m.help = !m.help
	case "esc", "backspace", "left":
		switch {
		case m.help:
			m.help = false
		case m.inside != "":
			m.inside, m.scroll = "", 0
		default:
			m.filter = ""
		}
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup":
		m.move(-m.rows())
	case "pgdown":
		m.move(m.rows())
	case "home", "g":
		m.move(-1 << 30)
	case "end", "G":
		m.move(1 << 30)
	case "enter", "right":
		if m.inside == "" {
			m.inside, m.scroll = m.current(m.topics()), 0
		}
	case "s":
		m.sort = (m.sort + 1) % orders
	case "r":
		m.reverse = !m.reverse
	case "/":
		m.typing, m.inside = true, ""
	case "p", "space":
		m.paused = !m.paused
	}
	return nil
}

// edit changes the filter.
func (m *model) edit(key, text string) {
	switch key {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, ""
	case "backspace":
		if r := []rune(m.filter); len(r) > 0 {
			m.filter = string(r[:len(r)-1])
		}
	default:
		m.filter += text
	}
}

// move moves the selection, or scrolls the details.
func (m *model) move(by int) {
	if m.inside != "" {
		m.scroll = max(m.scroll+by, 0) // the view knows where the end is
		return
	}
	topics := m.topics()
	if len(topics) == 0 {
		return
	}
	at := m.index(topics)
	m.selected = topics[min(max(at+by, 0), len(topics)-1)].Topic
}

// topics are those shown, in order.
func (m *model) topics() []*watch.Topic {
	var list []*watch.Topic
	for i := range m.now.Topics {
		if t := &m.now.Topics[i]; strings.Contains(t.Topic, m.filter) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *watch.Topic) int {
		c := m.compare(a, b)
		if m.reverse {
			c = -c
		}
		return cmp.Or(c, strings.Compare(a.Topic, b.Topic))
	})
	return list
}

// compare puts the greatest first, and names in their order.
func (m *model) compare(a, b *watch.Topic) int {
	switch m.sort {
	case byBytes:
		return cmp.Compare(b.BytesPS, a.BytesPS)
	case byLag:
		return cmp.Compare(b.Lag, a.Lag)
	case byLoss:
		return cmp.Or(cmp.Compare(b.LostPS, a.LostPS), cmp.Compare(b.Lost, a.Lost))
	case byLatency:
		return cmp.Compare(b.Latency.P99, a.Latency.P99)
	case byName:
		return strings.Compare(a.Topic, b.Topic)
	}
	return cmp.Compare(b.PublishedPS, a.PublishedPS)
}

// index is where the selection is; the first if it is gone.
func (m *model) index(topics []*watch.Topic) int {
	return max(slices.IndexFunc(topics, func(t *watch.Topic) bool { return t.Topic == m.selected }), 0)
}

// current is the selected topic, "" if there is none.
func (m *model) current(topics []*watch.Topic) string {
	if len(topics) == 0 {
		return ""
	}
	return topics[m.index(topics)].Topic
}

// rows is how many lines there are for topics.
func (m *model) rows() int { return max(m.height-headerLines-footerLines, 1) }
