package top

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/shmbus/shmbus/internal/watch"
)

// Lines of the screen that are not topics.
const (
	headerLines = 3 // the bus, what the keys changed, the columns
	footerLines = 1
)

// Styles of the terminal's own.
const (
	plainStyle   = "0"
	boldStyle    = "1"
	faintStyle   = "2"
	reverseStyle = "7"
	redStyle     = "31"
	greenStyle   = "32"
	yellowStyle  = "33"
)

func style(s, text string) string { return "\x1b[" + s + "m" + text + "\x1b[" + plainStyle + "m" }

// View implements [tea.Model].
func (m *model) View() tea.View {
	v := tea.NewView(m.screen())
	v.AltScreen = true
	v.WindowTitle = "shmbus top " + m.now.Bus
	return v
}

// screen is all lines, no more than the terminal has and none wider than it.
func (m *model) screen() string {
	if m.width < 40 || m.height < 8 {
		return fit("too small: want 40x8", m.width)
	}
	var lines []string
	switch {
	case !m.ready:
		lines = []string{fit("shmbus top: looking ...", m.width)}
	case m.help:
		lines = m.helpLines()
	case m.inside != "":
		lines = m.details()
	default:
		lines = m.overview()
	}
	if n := m.height - footerLines; len(lines) > n {
		lines = lines[:n]
	}
	for len(lines) < m.height-footerLines {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, m.footer()), "\n")
}

// header is the first line.
func (m *model) header() string {
	s := &m.now
	if s.Host == nil {
		return style(boldStyle, fit("bus "+s.Bus, 20)) + style(redStyle, fit("no host: "+s.Problem, m.width-20))
	}
	left := fmt.Sprintf("bus %s  host %s pid %d  %d topics", s.Bus, s.Host.Program, s.Host.PID, len(s.Topics))
	memory := fmt.Sprintf("memory %s of %s", size(float64(s.Host.Memory)), size(float64(s.Host.MaxMemory)))
	return style(boldStyle, fit(left, m.width-len(memory)-1)+" "+memory)
}

// state is the second line: what the keys changed.
func (m *model) state() string {
	var published, delivered, lost, bytes float64
	for i := range m.now.Topics {
		t := &m.now.Topics[i]
		published, delivered, lost, bytes = published+t.PublishedPS, delivered+t.DeliveredPS, lost+t.LostPS, bytes+t.BytesPS
	}
	s := fmt.Sprintf("%s msg/s  %s/s  delivered %s/s  lost %s/s   by %s", count(published), size(bytes), count(delivered), count(lost), m.sort)
	if m.reverse {
		s += " (reversed)"
	}
	if m.typing {
		s += "   filter: " + m.filter + "_"
	} else if m.filter != "" {
		s += "   filter: " + m.filter
	}
	if m.paused {
		return style(yellowStyle, fit("PAUSED  "+s, m.width))
	}
	return fit(s, m.width)
}

func (m *model) footer() string {
	keys := "q quit  ↑↓ select  enter details  s sort  r reverse  / filter  p pause  ? help"
	if m.inside != "" {
		keys = "q quit  esc back  ↑↓ scroll  p pause  ? help"
	}
	if m.typing {
		keys = "type to filter  enter done  esc clear"
	}
	return style(faintStyle, fit(keys, m.width))
}

// columns of the overview: those at the end are left out where it is narrow.
var columns = []struct {
	title string
	width int
	value func(*watch.Topic, *history) string
}{
	{"MSG/S", 6, func(t *watch.Topic, _ *history) string { return count(t.PublishedPS) }},
	{"BYTES/S", 8, func(t *watch.Topic, _ *history) string { return size(t.BytesPS) }},
	{"LOST/S", 7, func(t *watch.Topic, _ *history) string { return count(t.LostPS) }},
	{"P50", 7, func(t *watch.Topic, _ *history) string { return span(t.Latency, t.Latency.P50) }},
	{"P99", 7, func(t *watch.Topic, _ *history) string { return span(t.Latency, t.Latency.P99) }},
	{"LAG", 6, func(t *watch.Topic, _ *history) string { return count(float64(t.Lag)) }},
	{"RING", 9, func(t *watch.Topic, _ *history) string { return bar(float64(t.Used)/float64(max(t.Capacity, 1)), 8) }},
	{"PUB", 4, func(t *watch.Topic, _ *history) string { return fmt.Sprint(len(t.Publishers)) }},
	{"SUB", 4, func(t *watch.Topic, _ *history) string { return fmt.Sprint(len(t.Subscribers)) }},
	{"DELIV/S", 8, func(t *watch.Topic, _ *history) string { return count(t.DeliveredPS) }},
	{"MSG/S HISTORY", 32, func(_ *watch.Topic, h *history) string { return spark(h.rate, 30) }},
	{"P99 HISTORY", 32, func(_ *watch.Topic, h *history) string { return spark(h.p99, 30) }},
	{"GATES", 17, func(t *watch.Topic, _ *history) string { return strings.TrimRight(fit(t.Gating, 16), " ") }},
}

// overview is all topics.
func (m *model) overview() []string {
	shown, width := 0, 12 // least for the topic's name
	for shown < len(columns) && width+columns[shown].width <= m.width {
		width += columns[shown].width
		shown++
	}
	name := min(m.width-width+12, 40)
	title := fit("TOPIC", name)
	for _, c := range columns[:shown] {
		title += right(c.title, c.width)
	}
	lines := []string{m.header(), m.state(), style(boldStyle, fit(title, m.width))}
	topics := m.topics()
	if len(topics) == 0 && m.now.Host != nil {
		text := "no topics: a topic is made by its first publisher"
		if m.filter != "" {
			text = "no topic has " + m.filter + " in its name"
		}
		return append(lines, style(faintStyle, fit(text, m.width)))
	}
	at := m.index(topics)
	first := max(min(at-m.rows()/2, len(topics)-m.rows()), 0)
	for i := first; i < len(topics) && i < first+m.rows(); i++ {
		lines = append(lines, m.row(topics[i], name, shown, i == at))
	}
	return lines
}

func (m *model) row(t *watch.Topic, name, shown int, selected bool) string {
	h := m.histories[t.Topic]
	if h == nil {
		h = &history{}
	}
	mark := ""
	if len(notes(t)) > 0 {
		mark = "!"
	}
	line := fit(mark+t.Topic, name)
	for _, c := range columns[:shown] {
		line += right(c.value(t, h), c.width)
	}
	line = fit(line, m.width)
	switch {
	case selected:
		return style(reverseStyle, line)
	case t.Stalled != "" || len(t.Quarantined) > 0:
		return style(redStyle, line)
	case mark != "":
		return style(yellowStyle, line)
	}
	return line
}

// details are one topic.
func (m *model) details() []string {
	lines := []string{m.header(), m.state()}
	var t *watch.Topic
	for i := range m.now.Topics {
		if m.now.Topics[i].Topic == m.inside {
			t = &m.now.Topics[i]
		}
	}
	if t == nil {
		return append(lines, style(yellowStyle, fit("topic "+m.inside+" is gone", m.width)))
	}
	body := m.detailLines(t)
	room := m.height - footerLines - len(lines)
	m.scroll = min(m.scroll, max(len(body)-room, 0))
	return append(lines, body[m.scroll:]...)
}

func (m *model) detailLines(t *watch.Topic) []string {
	h := m.histories[t.Topic]
	if h == nil {
		h = &history{}
	}
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fit(fmt.Sprintf(format, args...), m.width)) }
	cells := max(m.width-26, 10)
	lines = append(lines, style(boldStyle, fit("topic "+t.Topic, m.width)))
	add("ring  %s %3.0f%% of %s", bar(float64(t.Used)/float64(max(t.Capacity, 1)), 20), 100*float64(t.Used)/float64(max(t.Capacity, 1)), size(float64(t.Capacity)))
	add("msg/s %s %s", spark(h.rate, min(cells, historyLength)), count(t.PublishedPS))
	add("p99   %s %s", spark(h.p99, min(cells, historyLength)), span(t.Latency, t.Latency.P99))
	add("p50 %s  p99 %s  p99.9 %s  %s/s  delivered %s/s",
		span(t.Latency, t.Latency.P50), span(t.Latency, t.Latency.P99), span(t.Latency, t.Latency.P999), size(t.BytesPS), count(t.DeliveredPS))
	add("lost %d  dropped %d  refused %d  blocked %.0f%%  lock taken %s/s  repairs %d",
		t.Lost, t.Dropped, t.Refused, t.Blocked*100, count(t.RevocationPS), t.Repairs)
	for _, n := range notes(t) {
		lines = append(lines, style(redStyle, fit("! "+n, m.width)))
	}
	lines = append(lines, "", style(boldStyle, fit(fit("PUBLISHER", nameWidth)+"  MSG/S BYTES/S  BLOCKED REFUSED DROPPED REVOKED/S", m.width)))
	for _, p := range t.Publishers {
		add("%s%7s%8s%8.0f%%%8s%8s%10s", fit(watch.Label(p.Name, p.Slot), nameWidth), count(p.PublishedPS), size(p.BytesPS), p.Blocked*100,
			count(float64(p.Refused)), count(float64(p.Dropped)), count(p.RevocationPS))
	}
	lines = append(lines, "", style(boldStyle, fit(fit("SUBSCRIBER", nameWidth)+"  MSG/S MODE      LAG BEHIND      LOST    P50    P99", m.width)))
	for _, s := range t.Subscribers {
		line := fmt.Sprintf("%s%7s %s%6s %s%6s%7s%7s", fit(watch.Label(s.Name, s.Slot), nameWidth), count(s.DeliveredPS), fit(s.Mode, 8),
			count(float64(s.Lag)), bar(s.Behind, 8), count(float64(s.Lost)), span(s.Latency, s.Latency.P50), span(s.Latency, s.Latency.P99))
		if s.Gates {
			lines = append(lines, style(greenStyle, fit(line+"  gates", m.width)))
			continue
		}
		lines = append(lines, fit(line, m.width))
	}
	return lines
}

func (m *model) helpLines() []string {
	text := []string{
		"shmbus top: what happens on a bus, read from its shared memory",
		"",
		"  ↑ ↓ j k       select a topic, or scroll its details",
		"  pgup pgdown   a screen up or down; home end, g G: first, last",
		"  enter →       details of the topic; esc ← back",
		"  s             sort by rate, bytes, lag, loss, p99, name; r the other way round",
		"  /             show only topics with a text in their name; esc clears it",
		"  p space       pause the screen; histories go on",
		"  q ctrl+c      quit",
		"",
		"RING  what the slowest reliable subscriber has to read; full: publishers wait",
		"GATES the subscriber publishers would wait for first",
		"P50   from publishing to being found by a subscriber, in the last interval",
		"!     something is wrong: see the details",
	}
	lines := make([]string, len(text))
	for i, s := range text {
		lines[i] = fit(s, m.width)
	}
	return lines
}
