package metrics

import (
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/shmbus/shmbus/bus"
)

// owner is whom samples are of: their labels, made once and kept from one look
// to the next. A topic with hundreds of subscribers has thousands of samples.
//
// Owners are a tree: with adds a label. Whom they are and since when never
// changes; the rest belongs to whose Collector.turn it is.
type owner struct {
	labels  []*dto.LabelPair // sorted by name
	text    string           // the same as text formats have it, without the closing brace
	created *timestamppb.Timestamp
	since   string // the same as OpenMetrics has it; "" if it is not known
	wire    []byte // labels as protobuf has them
	stamp   []byte // created as protobuf has it

	made     time.Time // of a topic
	children map[label]*owner
	seen     uint64    // the look that asked for it last
	claimed  [2]uint64 // the look in which a publisher, a subscriber had it last
}

type label struct{ name, value string }

// participantLabel is the label that says whose a series of a topic is.
const participantLabel = "name"

// newRoot is the owner that all others are made of.
func newRoot(bus string) *owner {
	root := &owner{children: map[label]*owner{}}
	return root.with(0, "bus", bus)
}

// with is o with one more label, for this look.
func (o *owner) with(look uint64, name, value string) *owner {
	child := o.children[label{name, value}]
	if child == nil {
		child = o.grow(name, value)
		if o.children == nil {
			o.children = map[label]*owner{}
		}
		o.children[label{name, value}] = child
	}
	child.seen = look
	return child
}

// grow makes o with one more label. Since when a participant counts nobody
// writes down: it is not since the topic's beginning.
func (o *owner) grow(name, value string) *owner {
	i := 0
	for i < len(o.labels) && o.labels[i].GetName() < name {
		i++
	}
	child := &owner{}
	if name != participantLabel {
		child.created, child.since, child.stamp = o.created, o.since, o.stamp
	}
	child.labels = append(child.labels, o.labels[:i]...)
	child.labels = append(child.labels, &dto.LabelPair{Name: &name, Value: &value})
	child.labels = append(child.labels, o.labels[i:]...)
	var b strings.Builder
	separator := byte('{')
	for _, l := range child.labels {
		b.WriteByte(separator)
		b.WriteString(l.GetName())
		b.WriteString(`="`)
		_, _ = labelEscapes.WriteString(&b, l.GetValue())
		b.WriteByte('"')
		separator = ','
	}
	child.text = b.String()
	child.wire = appendLabels(nil, child.labels)
	return child
}

// topic is the owner of what is of a topic as a whole.
func (o *owner) topic(look uint64, t *bus.TopicStatistics) *owner {
	child := o.with(look, "topic", t.Info.Name)
	if child.made.Equal(t.Created) {
		return child
	}
	child = o.grow("topic", t.Info.Name) // the topic is another under that name
	child.made, child.seen = t.Created, look
	child.created, child.since, child.stamp = nil, "", nil
	if !t.Created.IsZero() {
		child.created = timestamppb.New(t.Created)
		child.stamp = createdWire(child.created)
		child.since = string(appendFloat(nil, float64(t.Created.UnixNano())/1e9, true))
	}
	o.children[label{"topic", t.Info.Name}] = child
	return child
}

// forget drops those that this look did not ask for.
func (o *owner) forget(look uint64) {
	for key, child := range o.children {
		if child.seen != look {
			delete(o.children, key)
			continue
		}
		child.forget(look)
	}
}

// compare orders samples of one series as registries do: by the values of
// their labels.
func (o *owner) compare(other *owner) int {
	if o == other {
		return 0
	}
	for i, l := range o.labels {
		m := other.labels[i] // one series, the same names
		if l == m {
			continue
		}
		if n := strings.Compare(l.GetValue(), m.GetValue()); n != 0 {
			return n
		}
	}
	return 0
}
