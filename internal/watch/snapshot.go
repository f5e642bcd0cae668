package watch

import "time"

// Snapshot is a bus at one moment, with rates since the one before.
type Snapshot struct {
	Bus      string    `json:"bus"`
	Time     time.Time `json:"time"`
	Interval float64   `json:"interval_s"` // since the snapshot before; 0: it is the first, all rates are 0
	Host     *Host     `json:"host"`       // null: nobody hosts the bus now
	Problem  string    `json:"problem,omitempty"`
	Topics   []Topic   `json:"topics"`
}

// Host is the process that hosts the bus.
type Host struct {
	PID       int       `json:"pid"`
	Program   string    `json:"program"`
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Memory    uint64    `json:"memory_bytes"`
	MaxMemory uint64    `json:"max_memory_bytes"`
	Clients   int       `json:"clients"`
}

// Topic is one topic. What ends in PerS is a rate over the interval; Blocked is
// the share of the interval that publishers waited for space, 1 for each.
type Topic struct {
	Topic        string   `json:"topic"`
	Capacity     uint64   `json:"capacity_bytes"`
	Used         uint64   `json:"used_bytes"` // what the slowest reliable subscriber has to read
	Messages     uint64   `json:"messages"`   // ever published
	PublishedPS  float64  `json:"published_per_s"`
	BytesPS      float64  `json:"bytes_per_s"`
	DeliveredPS  float64  `json:"delivered_per_s"`
	LostPS       float64  `json:"lost_per_s"`
	Lost         uint64   `json:"lost"`
	Dropped      uint64   `json:"dropped"`
	Refused      uint64   `json:"refused"`
	Blocked      float64  `json:"blocked_share"`
	RevocationPS float64  `json:"revocations_per_s"`
	Repairs      uint64   `json:"repairs"`
	Lag          uint64   `json:"lag"`    // of the subscriber that is furthest behind
	Gating       string   `json:"gating"` // who publishers would wait for first, "" if nobody
	Stalled      string   `json:"stalled,omitempty"`
	Quarantined  []string `json:"quarantined,omitempty"`
	Latency      Latency  `json:"latency"`
	// Buckets count the latencies of the interval up to 2^-22 s (238 ns), up to
	// 2^-21 s and so on up to 8 s, and above: [BucketCount] of them.
	Buckets     []uint64     `json:"latency_buckets"`
	Publishers  []Publisher  `json:"publishers"`
	Subscribers []Subscriber `json:"subscribers"`
}

// Latency is from publishing to being found, of the deliveries in the interval.
type Latency struct {
	Count uint64        `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
}

// Publisher is one publisher of a topic.
type Publisher struct {
	Slot         int     `json:"slot"`
	Name         string  `json:"name"`
	Published    uint64  `json:"published"`
	PublishedPS  float64 `json:"published_per_s"`
	BytesPS      float64 `json:"bytes_per_s"`
	Refused      uint64  `json:"refused"`
	Dropped      uint64  `json:"dropped"`
	Aborted      uint64  `json:"aborted"`
	Blocked      float64 `json:"blocked_share"`
	RevocationPS float64 `json:"revocations_per_s"`
}

// Subscriber is one subscriber of a topic.
type Subscriber struct {
	Slot        int     `json:"slot"`
	Name        string  `json:"name"`
	Mode        string  `json:"mode"`
	Guest       bool    `json:"guest"`
	Gates       bool    `json:"gates"` // publishers would wait for it first
	Lag         uint64  `json:"lag"`   // messages
	Behind      float64 `json:"behind_share"`
	Delivered   uint64  `json:"delivered"`
	DeliveredPS float64 `json:"delivered_per_s"`
	Lost        uint64  `json:"lost"`
	LostPS      float64 `json:"lost_per_s"`
	WakeUpsPS   float64 `json:"wake_ups_per_s"`
	Latency     Latency `json:"latency"`
}
