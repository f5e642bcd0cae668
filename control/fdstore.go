package control

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// The service manager's fd store: a host that serves under systemd gives it a copy of
// every topic's descriptors, and gets them back when it is started again. So topics
// outlive a host that was their only participant, and a new version of the program
// takes over from an old one.
//
//	topic is live  ──FDSTORE=1, FDNAME=region.ring.topic──▶ manager ┐
//	topic has gone ──FDSTOREREMOVE=1, FDNAME=…────────────▶ manager │ keeps them while this
//	start          ◀──LISTEN_FDS, LISTEN_FDNAMES────────── manager ┘ process is not there
//
// While the server was away a participant may have hosted, and a topic may have been
// made anew. So what comes back waits until everybody had time to offer what is in use,
// and gives way to that. A topic that was removed meanwhile comes back.
//
// What comes back is checked like an offer of a peer. What is no topic is dropped from
// the store. One that cannot be used now stays there as it is: its layout is of another
// version, or this process has no descriptors or no memory for it. It is refused,
// naming what is in the way, until it is removed or a host brings it back.

// storedName is the name of a descriptor in the store: region, id of the ring, topic.
var storedName = regexp.MustCompile(`^(log|cursors|guests)\.([0-9a-f]{16})\.([A-Za-z0-9][A-Za-z0-9._-]{0,63})$`)

func storeName(region string, ring uint64, topic string) string {
	return fmt.Sprintf("%s.%016x.%s", region, ring, topic)
}

// storedTopic are the descriptors of one topic that came back.
type storedTopic struct {
	id    slotID // topic and ring
	files map[string]*os.File
}

// list returns the descriptors in their order; of some that belong together only a part
// may have been kept.
func (s *storedTopic) list() []*os.File {
	var files []*os.File
	for _, name := range regionNames {
		if f := s.files[name]; f != nil {
			files = append(files, f)
		}
	}
	return files
}

// groupStored takes descriptors by their names from the store, and returns those that
// are none of it. A name that came twice counts once.
func groupStored(files []*os.File, names []string) (topics []*storedTopic, others []*os.File) {
	byName := map[string]*storedTopic{}
	for i, f := range files {
		m := storedName.FindStringSubmatch(names[i])
		if m == nil {
			others = append(others, f)
			continue
		}
		key := m[2] + m[3]
		t := byName[key]
		if t == nil {
			id, _ := strconv.ParseUint(m[2], 16, 64) // 16 digits, as matched
			t = &storedTopic{id: slotID{Topic: m[3], Ring: id}, files: map[string]*os.File{}}
			byName[key] = t
			topics = append(topics, t)
		}
		if t.files[m[1]] != nil {
			f.Close()
			continue
		}
		t.files[m[1]] = f
	}
	return topics, others
}

// bringBack has the topics of the store brought back; true while that is under way.
// mu is held.
func (h *host) bringBack() bool {
	if len(h.stored) == 0 || h.bringing || !h.open {
		return h.bringing
	}
	h.bringing = true
	h.work.Add(1)
	go func() {
		defer h.work.Done()
		h.adoptStored(h.stored)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.stored, h.bringing = nil, false
		h.settleIfComplete()
	}()
	return true
}

// adoptStored brings back the topics of the store, before slots are granted in them
// and topics of their names are made. Those that were offered meanwhile are in use:
// what the store has in their place is older.
func (h *host) adoptStored(topics []*storedTopic) {
	for _, s := range topics {
		if h.ctx.Err() != nil {
			return // close closes them
		}
		if t := h.placeStored(s.id); t != nil {
			h.adoptOneStored(t, s)
		} else {
			CloseFiles(s.list())
		}
	}
}

// placeStored puts a topic for a stored ring into the map, with a reference. nil: there
// is another ring, and this one is dropped, or it is there itself, offered by somebody.
func (h *host) placeStored(id slotID) *topic {
	for {
		h.mu.Lock()
		t, aside := h.topics[id.Topic], h.aside[id.Topic]
		if t == nil && aside == nil {
			t = newTopic(id.Topic)
			t.refs, t.stored, t.unused = 1, true, true
			h.topics[id.Topic] = t
			h.mu.Unlock()
			return t
		}
		h.mu.Unlock()
		if t != nil {
			<-t.ready // an adoption: it waits for nobody
			if t.err != nil {
				continue
			}
		}
		if t == nil || t.options.ID != id.Ring {
			h.removeStored(id)
		}
		return nil
	}
}

func (h *host) adoptOneStored(t *topic, s *storedTopic) {
	err := h.adopt(t, s.id, s.list())
	switch {
	case err == nil:
		h.unref(t)
	case isNoTopic(err):
		h.log.Error("drop what is no topic from the store", "name", s.id.Topic, "error", err)
		h.removeStored(s.id)
	default:
		h.mu.Lock()
		h.aside[s.id.Topic] = &asideTopic{id: s.id, err: err}
		h.mu.Unlock()
		h.log.Error("leave a topic alone, in the store", "topic", s.id.Topic, "error", err)
		if err := notifyManager("STATUS=topic " + s.id.Topic + " is kept aside: " + oneLine(err)); err != nil {
			h.log.Debug("tell the service manager", "error", err)
		}
	}
}

// giveWay takes a stored topic that nobody has used since it came back out of the way of
// one that somebody lives in, who was late. True if its place is free.
func (h *host) giveWay(t *topic) bool {
	h.mu.Lock()
	if h.topics[t.name] != t || !t.unused || t.refs > 0 {
		free := h.topics[t.name] != t
		h.mu.Unlock()
		return free
	}
	t.removed = true
	delete(h.topics, t.name)
	t.refs++
	h.mu.Unlock()
	h.unref(t)
	h.log.Warn("a topic of the store gives way to the one that is in use", "topic", t.name, "ring", t.options.ID)
	return true
}

// isNoTopic: no program will make a topic of it. Where the kernel refused something
// (descriptors, memory, access), it may be one.
func isNoTopic(err error) bool {
	var kernel syscall.Errno
	switch {
	case errors.Is(err, ErrLayout):
		return false
	case errors.Is(err, shm.ErrNotMemfd): // for that, too, the kernel has a number
		return true
	case errors.As(err, &kernel):
		return false
	}
	return errors.Is(err, ErrRegion) || errors.Is(err, ring.ErrCorrupt)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// asideTopic is one whose memory this process cannot use, and leaves alone.
type asideTopic struct {
	id  slotID
	err error
}

// keptAside refuses a topic whose memory waits for a host that can use it. mu is held.
func (h *host) keptAside(topic string) error {
	a := h.aside[topic]
	if a == nil {
		return nil
	}
	mend := "start the host again when that is mended"
	if errors.Is(a.err, ErrLayout) {
		mend = "serve it with a program that knows it"
	}
	return fmt.Errorf("topic %q is kept as it was found: %w; %s, or remove it (shmbus rm)", topic, a.err, mend)
}

// removeAside forgets such a topic, and lets go of its memory.
func (h *host) removeAside(topic string) bool {
	h.mu.Lock()
	a := h.aside[topic]
	delete(h.aside, topic)
	h.mu.Unlock()
	if a == nil {
		return false
	}
	h.removeStored(a.id)
	return true
}

// storeTopic gives the manager a copy of a live topic's descriptors.
func (h *host) storeTopic(t *topic) {
	h.mu.Lock()
	stored := t.stored || h.keptByManager(t)
	t.stored = true
	old := h.aside[t.name]
	delete(h.aside, t.name) // somebody lives in this one
	h.mu.Unlock()
	if old != nil && old.id.Ring != t.options.ID {
		h.removeStored(old.id)
	}
	if stored || !h.config.store {
		return
	}
	for i, p := range []*regionPair{&t.regions.log, &t.regions.cursors, &t.regions.guests} {
		if p.rw == nil {
			continue
		}
		name := storeName(regionNames[i], t.options.ID, t.name)
		if err := notifyManager("FDSTORE=1\nFDNAME="+name, p.rw.File()); err != nil {
			h.log.Warn("store a topic with the service manager", "topic", t.name, "error", err)
			return
		}
	}
}

// keptByManager reports whether a topic that was offered is in the store. mu is held.
func (h *host) keptByManager(t *topic) bool {
	if a := h.aside[t.name]; a != nil && a.id.Ring == t.options.ID {
		return true
	}
	return slices.ContainsFunc(h.stored, func(s *storedTopic) bool {
		whole := len(s.files) == len(regionNames) || t.regions.guests.rw == nil && len(s.files) == len(regionNames)-1
		return whole && s.id.Topic == t.name && s.id.Ring == t.options.ID
	})
}

// unstoreTopic takes a topic that has gone out of the store.
func (h *host) unstoreTopic(t *topic) {
	if h.config.store && t.stored {
		h.removeStored(slotID{Topic: t.name, Ring: t.options.ID})
	}
}

func (h *host) removeStored(id slotID) {
	if !h.config.store {
		return
	}
	for _, region := range regionNames {
		if err := notifyManager("FDSTOREREMOVE=1\nFDNAME=" + storeName(region, id.Ring, id.Topic)); err != nil {
			h.log.Warn("remove a topic from the service manager's store", "topic", id.Topic, "error", err)
			return
		}
	}
}

// handed is what the service manager gave to this process.
type handed struct {
	listener *Listener
	topics   []*storedTopic
}

func (h *handed) close() {
	if h.listener != nil {
		h.listener.Close()
	}
	for _, t := range h.topics {
		CloseFiles(t.list())
	}
}

// takeHanded takes what the manager handed over: a listening socket, named control or the
// only one that is not of the store, and topics. The variables are removed, so that
// children do not take them for theirs.
func takeHanded() (*handed, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	if pid == "" || count == "" {
		return &handed{}, nil
	}
	if p, err := strconv.Atoi(pid); err != nil || p != os.Getpid() {
		return &handed{}, nil
	}
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(v); err != nil {
			return nil, fmt.Errorf("control: unset %s: %w", v, err)
		}
	}
	const most = 1 << 16
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > most {
		return nil, fmt.Errorf("%w: LISTEN_FDS=%q", ErrMalformed, count)
	}
	named := strings.Split(names, ":")
	for len(named) < n {
		named = append(named, "")
	}
	files := make([]*os.File, n)
	for i := range files {
		closeOnExec(firstHanded + i)
		files[i] = os.NewFile(uintptr(firstHanded+i), named[i])
	}
	topics, sockets := groupStored(files, named)
	got := &handed{topics: topics}
	if len(sockets) > 1 {
		if i := slices.IndexFunc(sockets, func(f *os.File) bool { return f.Name() == "control" }); i >= 0 {
			sockets[0], sockets[i] = sockets[i], sockets[0]
			CloseFiles(sockets[1:])
			sockets = sockets[:1]
		}
	}
	switch len(sockets) {
	case 0:
	case 1:
		got.listener, err = ListenerFromFile(sockets[0])
	default:
		err = fmt.Errorf("%w: %d sockets were handed over and none is named control (FileDescriptorName=)", ErrMalformed, len(sockets))
		CloseFiles(sockets)
	}
	if err != nil {
		got.close()
		return nil, err
	}
	return got, nil
}
