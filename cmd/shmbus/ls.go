package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
)

// topicJSON is a topic in the output of ls and stat.
type topicJSON struct {
	Topic       string   `json:"topic"`
	Capacity    uint64   `json:"capacity"`
	Schema      uint32   `json:"schema"`
	Created     string   `json:"created"`
	LogBytes    int64    `json:"log_bytes"`
	CursorBytes int64    `json:"cursor_bytes"`
	Messages    uint64   `json:"messages"` // sequence of the next message
	Publishers  int      `json:"publishers"`
	Subscribers int      `json:"subscribers"`
	Waiting     int      `json:"waiting"` // subscribers waiting for the topic
	Quarantined []string `json:"quarantined,omitempty"`
	Stalled     string   `json:"stalled,omitempty"`       // who holds the lock and stands still
	Since       string   `json:"stalled_since,omitempty"` // when the host first saw it so
	Exclusive   bool     `json:"exclusive,omitempty"`     // one publisher for life
	Ended       bool     `json:"ended,omitempty"`         // which has gone
	Corrupt     string   `json:"corrupt,omitempty"`       // why the topic is in quarantine
}

func newTopicJSON(i control.TopicInfo) topicJSON {
	return topicJSON{
		Topic: i.Name, Capacity: i.Capacity, Schema: i.Schema, Created: timeText(i.Created),
		LogBytes: i.LogBytes, CursorBytes: i.CursorBytes, Publishers: i.Publishers, Subscribers: i.Subscribers,
		Waiting: i.Waiting, Quarantined: i.Quarantined, Stalled: i.Stalled, Since: timeText(i.StalledSince), Corrupt: i.Corrupt,
		Exclusive: i.Exclusive, Ended: i.Ended,
	}
}

// publishersText is their number, and what is special about them.
func (t topicJSON) publishersText() string {
	switch {
	case t.Ended:
		return "exclusive,gone"
	case t.Exclusive:
		return fmt.Sprintf("%d,exclusive", t.Publishers)
	}
	return strconv.Itoa(t.Publishers)
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// observe runs f as an observer of the bus.
func (a *app) observe(ctx context.Context, f func(*control.Client) error) error {
	client, err := control.Dial(ctx, a.controlConfig())
	if err != nil {
		return err
	}
	return errors.Join(f(client), client.Close())
}

func newLs(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "list the topics of the bus",
		Args:  noArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			return a.observe(cmd.Context(), func(c *control.Client) error { return runLs(cmd.Context(), a, c) })
		}),
	}
}

func runLs(ctx context.Context, a *app, c *control.Client) error {
	infos, err := c.Topics(ctx)
	if err != nil {
		return err
	}
	sequences, err := topicSequences(ctx, c)
	if err != nil {
		return err
	}
	topics := make([]topicJSON, 0, len(infos))
	for _, i := range infos {
		t := newTopicJSON(i)
		t.Messages = sequences[i.Name]
		topics = append(topics, t)
	}
	if a.output == formatJSON {
		return printJSON(topics)
	}
	var t table
	t.row("TOPIC", "CAPACITY", "MESSAGES", "PUBLISHERS", "SUBSCRIBERS", "WAITING", "SCHEMA", "MEMORY")
	for _, i := range topics {
		t.row(i.Topic, bytesText(i.Capacity), i.Messages, i.publishersText(), i.Subscribers, i.Waiting, i.Schema,
			bytesText(uint64(i.LogBytes+i.CursorBytes)))
	}
	_, err = fmt.Fprint(stdout{}, t.render(""))
	return err
}

// topicSequences reads the next sequence of every topic from its region.
func topicSequences(ctx context.Context, c *control.Client) (map[string]uint64, error) {
	observations, err := c.Observe(ctx)
	if err != nil {
		return nil, err
	}
	sequences := map[string]uint64{}
	for _, o := range observations {
		sequences[o.Topic] = o.Ring.Stat().Sequence
		o.Close()
	}
	return sequences, nil
}
