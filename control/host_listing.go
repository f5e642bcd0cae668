package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// pageLimit keeps a page of topics below MaxMessage.
const pageLimit = MaxMessage * 3 / 4

// page lists live topics by name, as many as fit into one message, from behind
// the name after.
func (h *host) page(head Header, after string) topicsMessage {
	m := topicsMessage{Header: NewHeader(typeTopics, head.ID), Topics: []TopicInfo{}}
	size := 0
	for _, i := range h.list() {
		if i.Name <= after {
			continue
		}
		b, err := json.Marshal(i)
		if err != nil || len(b) > pageLimit {
			// Only the quarantined can make it long.
			i.Quarantined = []string{fmt.Sprintf("%d publishers", len(i.Quarantined))}
			b, _ = json.Marshal(i)
		}
		if size += len(b) + 1; size > pageLimit && len(m.Topics) > 0 {
			m.More = true
			return m
		}
		m.Topics = append(m.Topics, i)
	}
	return m
}

// list describes all live topics, by name.
func (h *host) list() []TopicInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	infos := make([]TopicInfo, 0, len(h.topics))
	for name, t := range h.topics {
		if t.live {
			infos = append(infos, t.info(len(h.waiters[name])))
		}
	}
	slices.SortFunc(infos, func(a, b TopicInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// observe answers with read-only descriptors of a topic.
func (h *host) observe(head Header, name string) (reply, error) {
	h.mu.Lock()
	t := h.topics[name]
	if t == nil || !t.live {
		h.mu.Unlock()
		return reply{}, fmt.Errorf("%w: %q", ErrNoTopic, name)
	}
	t.refs++
	info := t.info(len(h.waiters[name]))
	h.mu.Unlock()
	files, names := t.regions.files("")
	m := observedMessage{Header: NewHeader(typeObserved, head.ID), Ring: t.options.ID, Info: info, Regions: names}
	return reply{message: m, files: files, topic: t}, nil
}

// remove removes a topic that nobody is attached to.
func (h *host) remove(name string) error {
	if h.removeAside(name) {
		return nil
	}
	h.mu.Lock()
	t := h.topics[name]
	if t == nil || !t.live {
		h.mu.Unlock()
		return fmt.Errorf("%w: %q", ErrNoTopic, name)
	}
	var held []string
	t.holders(func(d *holder) { held = append(held, d.String()) })
	if len(held) > 0 {
		h.mu.Unlock()
		slices.Sort(held)
		const most = 5
		more := ""
		if len(held) > most {
			more = fmt.Sprintf(" and %d others", len(held)-most)
			held = held[:most]
		}
		return fmt.Errorf("%w: %q has %s%s", ErrTopicInUse, name, strings.Join(held, ", "), more)
	}
	t.removed = true
	delete(h.topics, name)
	t.refs++
	h.mu.Unlock()
	h.unref(t)
	return nil
}
