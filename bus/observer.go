package bus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// TopicStatistics is a topic as its shared memory shows it, and what the host
// says of it. From [Bus.Statistics] Publishers and Subscribers are only that
// handle's own, and Info holds the name alone.
type TopicStatistics struct {
	Info TopicInfo
	ring.Statistics
}

// An Observer looks at a bus from outside: it takes no slot, holds nobody back,
// is never the host, and reads memory that is mapped read-only. All methods may
// be called from any goroutine.
type Observer struct {
	config control.Config
	client *control.Client

	mu    sync.Mutex
	known map[string]*control.Observation // by topic: mapped once, not with every reading
}

// Observe joins the bus as an observer. Of c, Name, Dir and Logger count. It
// blocks until the host has answered or ctx ends. Errors: [ErrNoBus],
// [ErrNoHost], [ErrHostStalled], [ErrVersion], [ErrBadName], [ErrPermission].
func Observe(ctx context.Context, c Config) (*Observer, error) {
	cc := Config{Name: c.Name, Dir: c.Dir, Logger: c.Logger, NeverHost: true}.control()
	cc.Observer = true
	client, err := control.Dial(ctx, cc)
	if err != nil {
		return nil, translate(err)
	}
	return &Observer{config: cc, client: client, known: map[string]*control.Observation{}}, nil
}

// Name returns the name of the bus.
func (o *Observer) Name() string { return o.config.Bus }

// Host tells about the host of the bus. If there is a new one, it waits for it
// until ctx ends. Errors: ctx's, [ErrNoHost], [ErrHostStalled], [ErrClosed].
func (o *Observer) Host(ctx context.Context) (HostInfo, error) {
	info, err := o.client.Host(ctx)
	return info, translate(err)
}

// Statistics reads all topics, by name. Errors as Host.
func (o *Observer) Statistics(ctx context.Context) ([]TopicStatistics, error) {
	list, err := o.client.Topics(ctx)
	if err != nil {
		return nil, translate(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(list)
	all := make([]TopicStatistics, 0, len(list))
	for _, info := range list {
		n, err := o.observe(ctx, info)
		if errors.Is(err, control.ErrNoTopic) {
			continue // it ended just now
		}
		if err != nil {
			return nil, translate(err)
		}
		t := TopicStatistics{Info: info}
		n.Ring.Statistics(&t.Statistics)
		all = append(all, t)
	}
	return all, nil
}

// Close drops the connection and the mappings. The Observer must not be used
// any more.
func (o *Observer) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, n := range o.known {
		n.Close()
		delete(o.known, topic)
	}
	return translate(o.client.Close())
}

// observe returns the mapping of a topic, made anew if the topic was.
func (o *Observer) observe(ctx context.Context, info TopicInfo) (*control.Observation, error) {
	if n := o.known[info.Name]; n != nil {
		return n, nil
	}
	n, err := o.client.ObserveTopic(ctx, info.Name)
	if err == nil {
		// Created is the host's word of now, that of the list may be older.
		n.Info.Created = info.Created
		o.known[info.Name] = n
	}
	return n, err
}

// forget drops the mappings of topics that ended, or were made again under the
// same name. A topic that a new host adopted counts as made again: mapping it
// once more costs little.
func (o *Observer) forget(list []TopicInfo) {
	for topic, n := range o.known {
		i, there := slices.BinarySearchFunc(list, topic, func(t TopicInfo, name string) int { return strings.Compare(t.Name, name) })
		if !there || !list[i].Created.Equal(n.Info.Created) {
			n.Close()
			delete(o.known, topic)
		}
	}
}

// Name returns the name of the bus.
func (b *Bus) Name() string { return b.name }

// Statistics reads what this handle's own publishers and subscribers have
// counted, by topic. Of a topic with several of them there is one element. It
// does not block and disturbs nobody.
func (b *Bus) Statistics() []TopicStatistics {
	b.mu.Lock()
	live := make([]*participant, 0, len(b.live))
	for p := range b.live {
		live = append(live, p)
	}
	b.mu.Unlock()
	byTopic := map[string]*TopicStatistics{}
	for _, p := range live {
		p.addTo(byTopic)
	}
	all := make([]TopicStatistics, 0, len(byTopic))
	for _, t := range byTopic {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(x, y TopicStatistics) int { return strings.Compare(x.Info.Name, y.Info.Name) })
	return all
}

// addTo reads a participant, unless its memory is gone.
func (p *participant) addTo(byTopic map[string]*TopicStatistics) {
	p.mu.Lock() // settle unmaps with it
	defer p.mu.Unlock()
	if p.left || p.unmapped {
		return
	}
	var s ring.Statistics
	p.grant.Ring.Statistics(&s)
	t := byTopic[p.grant.Topic]
	if t == nil {
		t = &TopicStatistics{Info: TopicInfo{Name: p.grant.Topic}, Statistics: s}
		t.Publishers, t.Subscribers = nil, nil
		byTopic[p.grant.Topic] = t
	}
	for _, i := range s.Publishers {
		if p.publisher && i.Slot == p.grant.Slot && i.Gen == p.grant.Gen {
			t.Publishers = append(t.Publishers, i)
		}
	}
	for _, i := range s.Subscribers {
		if !p.publisher && i.Slot == p.grant.Slot && i.Gen == p.grant.Gen && i.Guest == p.grant.Guest {
			t.Subscribers = append(t.Subscribers, i)
		}
	}
}
