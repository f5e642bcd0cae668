package main

import (
	"fmt"
	"strings"
	"time"
)

// text renders the whole for people.
func (s *statJSON) text() string {
	var b strings.Builder
	h := s.Host
	var t table
	t.row("bus", s.Bus)
	t.row("host", fmt.Sprintf("pid %d, %s %s, since %s", h.PID, h.Program, h.Version, h.Started))
	t.row("memory", fmt.Sprintf("%s of %s, paid by cgroup %s", bytesText(h.Memory), bytesText(h.MaxMemory), h.Cgroup))
	mode := "topics live while somebody is attached"
	if h.Keep {
		mode = "topics live until rm"
	}
	if h.Fenced {
		mode += ", fenced"
	}
	if h.Group != "" {
		mode += ", guests of group " + h.Group
	}
	t.row("mode", mode)
	t.row("attached", fmt.Sprintf("%d clients, %d topics", h.Clients, h.Topics))
	b.WriteString(t.render(""))
	for i := range s.Topics {
		b.WriteString(s.Topics[i].text())
	}
	return b.String()
}

func (t *topicStatJSON) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\ntopic %s: %d messages, capacity %s, schema %d, memory %s, position %d, gating %d\n",
		t.Topic, t.Messages, bytesText(t.Capacity), t.Schema, bytesText(uint64(t.LogBytes+t.CursorBytes)),
		t.Position, t.Gating)
	switch {
	case t.Ended:
		b.WriteString("  exclusive: the publisher has gone, nothing more will come\n")
	case t.Exclusive:
		b.WriteString("  exclusive: one publisher for life\n")
	}
	if t.Fenced {
		b.WriteString("  fenced: every participant pays a full fence per message\n")
	}
	if t.Stalled != "" {
		since := ""
		if t.Since != "" {
			since = ", since " + t.Since
		}
		fmt.Fprintf(&b, "  stalled: %s%s\n", t.Stalled, since)
	}
	if t.Corrupt != "" {
		fmt.Fprintf(&b, "  corrupt, in quarantine: %s\n", t.Corrupt)
	}
	if len(t.Quarantined) > 0 {
		fmt.Fprintf(&b, "  quarantined: %s\n", strings.Join(t.Quarantined, ", "))
	}
	if len(t.PublisherList) > 0 {
		var p table
		p.row("PUBLISHER", "NAME", "PUBLISHED", "BYTES", "BATCHES", "REFUSED", "DROPPED", "ABORTED", "BLOCKED")
		for _, x := range t.PublisherList {
			p.row(x.Slot, x.Name, x.Published, bytesText(x.Bytes), x.Batches, x.Refused, x.Dropped, x.Aborted,
				durationText(time.Duration(x.BlockedNS)))
		}
		b.WriteString(p.render("  "))
	}
	if len(t.SubscriberList) > 0 {
		var c table
		c.row("SUBSCRIBER", "NAME", "MODE", "SEQUENCE", "POSITION", "LAG", "DELIVERED", "BYTES", "LOST", "MAXLAG", "PARKS", "WAKEUPS", "P50", "P99")
		for _, x := range t.SubscriberList {
			mode, p50, p99 := x.Mode, "-", "-"
			if x.Recorded > 0 {
				p50, p99 = nsText(x.P50NS), nsText(x.P99NS)
			}
			if x.Guest {
				mode += ",guest"
			}
			if x.Mode == "reliable" && !x.Gating {
				mode += ",detached"
			}
			c.row(x.Slot, x.Name, mode, x.Sequence, x.Position, x.Lag, x.Delivered, bytesText(x.Bytes), x.Lost,
				x.MaxLag, x.Parks, x.WakeUps, p50, p99)
		}
		b.WriteString(c.render("  "))
	}
	return b.String()
}
