package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// statJSON is the output of `stat -o json`.
type statJSON struct {
	Bus    string          `json:"bus"`
	Host   hostJSON        `json:"host"`
	Topics []topicStatJSON `json:"topics"`
}

type hostJSON struct {
	PID       int    `json:"pid"`
	Program   string `json:"program"`
	Version   string `json:"version"`
	Started   string `json:"started"`
	Memory    uint64 `json:"memory"`
	MaxMemory uint64 `json:"max_memory"`
	Cgroup    string `json:"cgroup"` // the cgroup that pays for the regions
	Topics    int    `json:"topics"`
	Clients   int    `json:"clients"`
	Keep      bool   `json:"keep"` // topics live until rm
	Fenced    bool   `json:"fenced"`
	Group     string `json:"group,omitempty"`
}

type topicStatJSON struct {
	topicJSON
	Position uint64 `json:"position"` // bytes ever put into the ring
	Gating   uint64 `json:"gating_position"`
	Claimed  uint64 `json:"claimed_position"`
	Fenced   bool   `json:"fenced"`
	BiasSlot int    `json:"bias_slot"` // publisher slot the lock is biased to, or -1
	LockSlot int    `json:"lock_slot"` // publisher slot inside the lock, or -1
	// These two stand in place of the counts of ls.
	PublisherList  []publisherJSON  `json:"publishers"`
	SubscriberList []subscriberJSON `json:"subscribers"`
}

type publisherJSON struct {
	Slot      int    `json:"slot"`
	Name      string `json:"name"`
	Published uint64 `json:"published"`
	Bytes     uint64 `json:"bytes"`
	Batches   uint64 `json:"batches"`
	Refused   uint64 `json:"refused"`
	Dropped   uint64 `json:"dropped"`
	Aborted   uint64 `json:"aborted"`
	BlockedNS uint64 `json:"blocked_ns"`
}

type subscriberJSON struct {
	Slot      int    `json:"slot"`
	Name      string `json:"name"`
	Mode      string `json:"mode"`
	Guest     bool   `json:"guest"`
	Gating    bool   `json:"gating"`
	MaxLag    uint64 `json:"max_lag"`
	Position  uint64 `json:"position"`
	Sequence  uint64 `json:"sequence"` // next to be read
	Lag       uint64 `json:"lag"`      // messages not read yet
	Delivered uint64 `json:"delivered"`
	Bytes     uint64 `json:"bytes"`
	Lost      uint64 `json:"lost"`
	Aborted   uint64 `json:"aborted_seen"`
	WakeUps   uint64 `json:"wake_ups"`
	Parks     uint64 `json:"parks"`
	Recorded  uint64 `json:"recorded"` // latencies, publish to consume; what has no stamp has none
	P50NS     int64  `json:"p50_ns"`
	P99NS     int64  `json:"p99_ns"`
}

func newStat(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stat [TOPIC]",
		Short: "show the host, the topics and everybody attached to them",
		Long: `Show the host, the topics and everybody attached to them: positions, lag,
counts and modes, read from the shared regions without holding anybody up; and
the memory of the bus, with the cgroup that pays for it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return topicArg(cmd, args)
		},
		ValidArgsFunction: a.completeTopics,
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			topic := ""
			if len(args) == 1 {
				topic = args[0]
			}
			return a.observe(cmd.Context(), func(c *control.Client) error {
				s, err := readStat(cmd.Context(), a, c, topic)
				if err != nil {
					return err
				}
				if a.output == formatJSON {
					return printJSON(s)
				}
				_, err = fmt.Fprint(stdout{}, s.text())
				return err
			})
		}),
	}
}

func readStat(ctx context.Context, a *app, c *control.Client, topic string) (*statJSON, error) {
	h, err := c.Host(ctx)
	if err != nil {
		return nil, err
	}
	observations, err := observeTopics(ctx, c, topic)
	if err != nil {
		return nil, err
	}
	s := &statJSON{Bus: a.busName(), Host: newHostJSON(h), Topics: []topicStatJSON{}}
	for _, o := range observations {
		s.Topics = append(s.Topics, newTopicStat(o))
		o.Close()
	}
	return s, nil
}

func observeTopics(ctx context.Context, c *control.Client, topic string) ([]*control.Observation, error) {
	if topic == "" {
		return c.Observe(ctx)
	}
	o, err := c.ObserveTopic(ctx, topic)
	if err != nil {
		return nil, err
	}
	return []*control.Observation{o}, nil
}

func newHostJSON(h control.HostInfo) hostJSON {
	return hostJSON{
		PID: h.PID, Program: h.Program, Version: h.Version, Started: timeText(h.Started), Memory: h.Memory,
		MaxMemory: h.MaxMemory, Cgroup: h.Cgroup, Topics: h.Topics, Clients: h.Clients, Keep: h.Keep,
		Fenced: h.Fenced, Group: h.Group,
	}
}

// newTopicStat reads the regions of a topic. The values are of slightly
// different moments: nobody is stopped to be counted.
func newTopicStat(o *control.Observation) topicStatJSON {
	t := topicStatJSON{topicJSON: newTopicJSON(o.Info), PublisherList: []publisherJSON{}, SubscriberList: []subscriberJSON{}}
	t.Topic = o.Topic
	for _, p := range o.Ring.Publishers() {
		t.PublisherList = append(t.PublisherList, publisherJSON{
			Slot: p.Slot, Name: p.Name, Published: p.Published, Bytes: p.Bytes, Batches: p.Batches,
			Refused: p.Refused, Dropped: p.Dropped, Aborted: p.Aborted, BlockedNS: p.BlockedNanos,
		})
	}
	subscribers := o.Ring.Subscribers()
	st := o.Ring.Stat() // after the subscribers, so that no lag is below zero
	t.Messages, t.Position, t.Gating, t.Claimed, t.Fenced = st.Sequence, st.Position, st.Gating, st.Claimed, st.Fenced
	t.BiasSlot, t.LockSlot = st.BiasSlot, st.LockSlot
	for _, s := range subscribers {
		j := subscriberJSON{
			Slot: s.Slot, Name: s.Name, Mode: "reliable", Guest: s.Guest, Gating: s.Gating, MaxLag: s.MaxLag,
			Position: s.Position, Sequence: s.Sequence, Delivered: s.Delivered, Bytes: s.Bytes, Lost: s.Lost(),
			Aborted: s.AbortedSeen, WakeUps: s.WakeUps, Parks: s.Parks,
			Recorded: s.Latency.Count(), P50NS: int64(s.Latency.Quantile(0.5)), P99NS: int64(s.Latency.Quantile(0.99)),
		}
		if s.Mode == ring.Lossy {
			j.Mode = "lossy"
		}
		if lag := int64(st.Sequence - s.Sequence); lag > 0 {
			j.Lag = uint64(lag)
		}
		t.SubscriberList = append(t.SubscriberList, j)
	}
	return t
}
