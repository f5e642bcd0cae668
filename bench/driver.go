//go:build linux

package bench

import (
	"fmt"
	"os"

	"github.com/shmbus/shmbus/shm"
)

// driver makes a mechanism carry our messages.
type driver struct {
	// stage makes, in the harness, what the actors share.
	stage func(s *stage) error
	// attach makes, in an actor, its two ends: of the way there and, for round
	// trips, of the way back. Actors that do not publish get no outlet.
	attach func(a *actor) (outlet, inlet, error)
}

// drivers are those of all mechanisms that are not programs of their own.
var drivers map[string]driver

func init() {
	drivers = map[string]driver{
		"limit-line":              {stageLimit, attachLine},
		"limit-futex":             {stageLimit, attachFutex},
		"limit-spsc":              {stageLimit, attachSPSC(1)},
		"limit-spsc-batched":      {stageLimit, attachSPSC(64)},
		"shmbus":                  {stageBus, attachBus},
		"shmbus-batch":            {stageBus, attachBus},
		"shmbus-claim":            {stageBus, attachBus},
		"shmbus-fenced":           {stageBus, attachBus},
		"shmbus-unrecorded":       {stageBus, attachBus},
		"shmbus-batch-unrecorded": {stageBus, attachBus},
		"shmbus-ring":             {stageRing, attachRing},
		"mutex":                   {stageMutex, attachMutex},
		"function-call":           {stageNothing, attachCall},
		"go-channel":              {stageNothing, nil},
		"named-pipe":              {stageFIFO, attachBytes(false)},
		"named-pipe-buffered":     {stageFIFO, attachBytes(true)},
		"unix-stream":             {stageUnixStream, attachBytes(false)},
		"unix-stream-buffered":    {stageUnixStream, attachBytes(true)},
		"unix-seqpacket":          {stageSeqpacket, attachPackets(false)},
		"unix-seqpacket-buffered": {stageSeqpacket, attachPackets(true)},
		"tcp-loopback":            {stageTCP, attachBytes(false)},
		"tcp-loopback-buffered":   {stageTCP, attachBytes(true)},
		"http-keepalive":          {stageHTTP, attachHTTP(true)},
		"http-close":              {stageHTTP, attachHTTP(false)},
	}
}

// stage is what the actors of one cell share, as the harness made it.
type stage struct {
	cell    Cell
	dir     string // for names; empty at first, removed afterwards
	address string
	rings   []attachment
	files   [][]*os.File // of each actor, its descriptors from ownDescriptors on
	keep    []func()     // to undo, last first
}

func newStage(c Cell, dir string) *stage {
	return &stage{cell: c, dir: dir, files: make([][]*os.File, c.actors())}
}

// give gives a file to one actor.
func (s *stage) give(actor int, f *os.File) {
	s.files[actor] = append(s.files[actor], f)
}

// undo closes and removes what the stage is made of.
func (s *stage) undo() {
	for i := len(s.keep) - 1; i >= 0; i-- {
		s.keep[i]()
	}
	s.keep = nil
}

// closeLater closes f with the stage.
func (s *stage) closeLater(f *os.File) *os.File {
	s.keep = append(s.keep, func() { f.Close() })
	return f
}

// region makes a memfd, which all actors get, and returns its bytes.
func (s *stage) region(name string, size int64) ([]byte, error) {
	r, m, err := newRegion(name, size)
	if err != nil {
		return nil, err
	}
	s.keep = append(s.keep, func() { m.Unmap(); r.Close() })
	for i := range s.files {
		s.give(i, r.File())
	}
	return m.Bytes(), nil
}

// newRegion makes a memfd of whole pages, all of them allocated, and maps it.
func newRegion(name string, size int64) (*shm.Region, *shm.Mapping, error) {
	const page = 4096
	r, err := shm.Create(name, (size+page-1)/page*page)
	if err != nil {
		return nil, nil, err
	}
	if err = r.Allocate(0, r.Size()); err == nil {
		var m *shm.Mapping
		if m, err = r.Map(true); err == nil {
			return r, m, nil
		}
	}
	r.Close()
	return nil, nil, fmt.Errorf("bench: region %s: %w", name, err)
}

func stageNothing(*stage) error { return nil }
