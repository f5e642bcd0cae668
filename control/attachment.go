package control

import (
	"errors"
	"fmt"
	"os"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// attachmentKey: a client maps each ring once for each right it has to it.
type attachmentKey struct {
	ring uint64
	role string // "" for observers
}

// attachment are the mapped regions of one ring in a client. Everybody who uses
// them has a reference (under the client's mutex); the last one unmaps.
//
//	what           log         cursors     guests
//	publisher      read-write  read-only   read-only
//	subscriber     read-only   read-write  read-only
//	guest          read-only   read-only   read-write
//	observer       read-only   read-only   read-only
type attachment struct {
	key      attachmentKey
	ring     *ring.Ring
	regions  []*shm.Region
	mappings []*shm.Mapping
	refs     int
}

// openAttachment validates the regions of a grant and maps them. It owns files.
//
// Errors: ErrRegion, ErrLayout, ErrNoDescriptors.
func openAttachment(topic string, key attachmentKey, names []string, files []*os.File, owner int) (a *attachment, err error) {
	checked, o, err := checkRegions(topic, key.ring, files, names, owner, key.role == rolePublisher)
	if err != nil {
		return nil, err
	}
	a = &attachment{key: key, regions: checked.regions, refs: 1}
	defer func() {
		if err != nil {
			a.close()
			a = nil
		}
	}()
	bytes := make([][]byte, len(regionNames))
	for i, r := range a.regions {
		m, err := r.Map(writes(key.role, names[i]))
		if err != nil {
			return a, regionError(names[i], err)
		}
		a.mappings = append(a.mappings, m)
		bytes[i] = m.Bytes()
	}
	if o.Exclusive && key.role == rolePublisher {
		// Ours is the last writable mapping there will be.
		if err := a.regions[0].SealWrites(); err != nil {
			return a, regionError(regionLog, err)
		}
	}
	if a.ring, err = ring.Open(bytes[0], bytes[1], bytes[2]); err != nil {
		return a, regionError(regionLog, err)
	}
	return a, nil
}

// writes reports whether a role may write a region.
func writes(role, region string) bool {
	switch role {
	case rolePublisher:
		return region == regionLog
	case roleSubscriber:
		return region == regionCursors
	case roleGuest:
		return region == regionGuests
	}
	return false
}

// populate touches the pages that a participant is about to use, so that its
// first messages do not pay for them. Holes are left alone: touching one would
// give it memory.
func (a *attachment) populate(role string, slot int, first bool) error {
	g := a.ring.Geometry()
	var errs []error
	if first {
		off, n := g.DataRange()
		errs = append(errs, a.mappings[0].Populate(0, g.LogPrefix()), a.mappings[0].Populate(off, n),
			a.mappings[1].Populate(0, g.CursorPrefix()))
	}
	switch {
	case role == rolePublisher:
		errs = append(errs, a.mappings[0].Populate(g.PublisherBlock(slot)))
	case role == roleSubscriber:
		errs = append(errs, a.mappings[1].Populate(g.SubscriberBlock(slot)))
	case len(a.mappings) > 2:
		errs = append(errs, a.mappings[2].Populate(g.SubscriberBlock(slot)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: touch the pages: %w", ErrNoMemory, err)
	}
	return nil
}

// close unmaps and closes. Nobody uses the ring any more.
func (a *attachment) close() {
	for _, m := range a.mappings {
		m.Unmap()
	}
	for _, r := range a.regions {
		r.Close()
	}
}

// files are the descriptors to offer.
func (a *attachment) files() []*os.File {
	files := make([]*os.File, len(a.regions))
	for i, r := range a.regions {
		files[i] = r.File()
	}
	return files
}

// attach returns the client's mapping of a ring with one more reference, made
// from files if there is none yet. It owns files. first: this call made it.
func (c *Client) attach(topic string, key attachmentKey, names []string, files []*os.File) (a *attachment, first bool, err error) {
	c.mu.Lock()
	if a := c.attachments[key]; a != nil {
		a.refs++
		c.mu.Unlock()
		CloseFiles(files)
		return a, false, nil
	}
	c.mu.Unlock()
	if a, err = openAttachment(topic, key, names, files, int(c.dir.Owner())); err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.attachments[key]; other != nil { // somebody was faster
		other.refs++
		a.close()
		return other, false, nil
	}
	c.attachments[key] = a
	return a, true, nil
}

// unref gives up a reference to a mapping.
func (c *Client) unref(a *attachment) {
	c.mu.Lock()
	a.refs--
	last := a.refs == 0
	if last {
		delete(c.attachments, a.key)
	}
	c.mu.Unlock()
	if last {
		a.close()
	}
}
