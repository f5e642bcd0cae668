package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/shmbus/shmbus/bus"
)

// owner is whom series are of: what they have in common is made once for all.
type owner struct {
	labels  []*dto.LabelPair // sorted by name
	created *timestamppb.Timestamp
}

// owner is a topic as a whole.
func (e *emission) owner(t *bus.TopicStatistics) owner {
	o := owner{}
	if !t.Created.IsZero() {
		o.created = timestamppb.New(t.Created)
	}
	return o.with("bus", e.descs.bus).with("topic", t.Info.Name)
}

// with is o with one more label.
func (o owner) with(name, value string) owner {
	i, _ := slices.BinarySearchFunc(o.labels, name, func(l *dto.LabelPair, name string) int { return strings.Compare(l.GetName(), name) })
	labels := make([]*dto.LabelPair, 0, len(o.labels)+1)
	labels = append(append(labels, o.labels[:i]...), &dto.LabelPair{Name: &name, Value: &value})
	o.labels = append(labels, o.labels[i:]...)
	return o
}

// count is a counter as Prometheus takes it. client_golang's own copies and
// sorts its labels for each; a topic with hundreds of subscribers has thousands.
type count struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	value   float64
	counter dto.Counter
}

// Desc implements [prometheus.Metric].
func (c *count) Desc() *prometheus.Desc { return c.desc }

// Write implements [prometheus.Metric].
func (c *count) Write(m *dto.Metric) error {
	m.Label, m.Counter = c.labels, &c.counter
	return nil
}
