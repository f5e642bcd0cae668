package ring

import "fmt"

// Limits of a ring.
const (
	MinCapacity    = 4 << 10 // bytes
	MaxCapacity    = 4 << 30 // bytes
	MaxPublishers  = maxPublishers
	MaxSubscribers = maxSubscribers
	// MaxGeneration is the greatest generation of a slot; generations run from
	// 1 and begin again at 1 behind it.
	MaxGeneration = 1<<22 - 1
)

// Options are what a ring is made with; they do not change over its life.
type Options struct {
	Capacity    uint64 // bytes of records: a power of two from MinCapacity to MaxCapacity
	Publishers  int    // publisher slots, 1 to 64; 0 means 64
	Subscribers int    // subscriber slots, 1 to 256; 0 means 256
	Fenced      bool   // every participant uses full fences, because membarrier is missing
	Exclusive   bool   // one publisher for life, and nobody else may write the log region; exclusive.go
	Start       uint64 // position of the first record, a multiple of 32
	Schema      uint32 // the user's schema version
	Label       string // at most 64 bytes; the topic's name
	ID          uint64 // pairs the regions of one ring; not 0
	// Counter: publish times are values of the processor's counter, which is
	// quicker to read than a clock; only where shm.TSCUsable.
	Counter bool
}

// Geometry says how large the regions of a ring are and where the parts are
// that get their memory at different times. Offsets and sizes in bytes.
type Geometry struct {
	capacity    uint64
	publishers  int
	subscribers int
}

// Geometry checks the options and derives the sizes. [ErrBadOptions] names
// what is wrong.
func (o Options) Geometry() (Geometry, error) {
	o = o.withDefaults()
	switch {
	case o.Exclusive && o.Publishers != 1:
		return Geometry{}, fmt.Errorf("%w: %d publishers, want 1 in an exclusive ring", ErrBadOptions, o.Publishers)
	case o.Capacity < MinCapacity || o.Capacity > MaxCapacity || o.Capacity&(o.Capacity-1) != 0:
		return Geometry{}, fmt.Errorf("%w: capacity %d, want a power of two from %d to %d", ErrBadOptions, o.Capacity, MinCapacity, uint64(MaxCapacity))
	case o.Publishers < 1 || o.Publishers > MaxPublishers:
		return Geometry{}, fmt.Errorf("%w: %d publishers, want 1 to %d", ErrBadOptions, o.Publishers, MaxPublishers)
	case o.Subscribers < 1 || o.Subscribers > MaxSubscribers:
		return Geometry{}, fmt.Errorf("%w: %d subscribers, want 1 to %d", ErrBadOptions, o.Subscribers, MaxSubscribers)
	case o.Start%recordAlign != 0:
		return Geometry{}, fmt.Errorf("%w: start position %d, want a multiple of %d", ErrBadOptions, o.Start, recordAlign)
	case len(o.Label) > labelSize:
		return Geometry{}, fmt.Errorf("%w: label of %d bytes, want at most %d", ErrBadOptions, len(o.Label), labelSize)
	}
	return Geometry{capacity: o.Capacity, publishers: o.Publishers, subscribers: o.Subscribers}, nil
}

func (o Options) withDefaults() Options {
	switch {
	case o.Publishers == 0 && o.Exclusive:
		o.Publishers = 1
	case o.Publishers == 0:
		o.Publishers = MaxPublishers
	}
	if o.Subscribers == 0 {
		o.Subscribers = MaxSubscribers
	}
	return o
}

// LogSize returns the size of the log region.
func (g Geometry) LogSize() int64 {
	off, n := g.DataRange()
	return off + n
}

// CursorSize returns the size of the cursor region, and of the guest region.
func (g Geometry) CursorSize() int64 {
	off, n := g.Totals()
	return off + n
}

// Totals returns where the totals are in the cursor region. They need memory
// when the ring is made; in a guest region they are never used.
func (g Geometry) Totals() (off, n int64) {
	return headerPage + int64(g.subscribers)*blockSize, 2 * blockSize
}

// LogPrefix returns how many bytes at the start of the log region need memory
// when the ring is made; publisher blocks get theirs when they are granted.
func (g Geometry) LogPrefix() int64 { return headerPage }

// CursorPrefix is to the cursor and guest regions what LogPrefix is to the log.
func (g Geometry) CursorPrefix() int64 { return headerPage }

// DataRange returns where the records are in the log region.
func (g Geometry) DataRange() (off, n int64) {
	return headerPage + int64(g.publishers+1)*blockSize, int64(g.capacity)
}

// PublisherBlock returns where the block of a publisher slot, or of
// [Geometry.HostSlot], is in the log region.
func (g Geometry) PublisherBlock(slot int) (off, n int64) {
	return headerPage + int64(slot)*blockSize, blockSize
}

// SubscriberBlock returns where the block of a subscriber slot is in the
// cursor region, or of a guest slot in the guest region.
func (g Geometry) SubscriberBlock(slot int) (off, n int64) {
	return headerPage + int64(slot)*blockSize, blockSize
}

// HostSlot is the publisher slot that belongs to the host.
func (g Geometry) HostSlot() int { return g.publishers }

// Publishers returns the number of publisher slots.
func (g Geometry) Publishers() int { return g.publishers }

// Subscribers returns the number of subscriber slots.
func (g Geometry) Subscribers() int { return g.subscribers }

// MaxMessage returns the largest payload in bytes of a ring of this capacity:
// a quarter of the ring less the record header.
func MaxMessage(capacity uint64) int { return int(capacity/4 - recordHeader) }
