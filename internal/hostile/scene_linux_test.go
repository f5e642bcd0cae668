package hostile

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/shm"
)

// A scene is a bus with a topic that is attacked and one that is not.
type scene struct {
	t          *testing.T
	dir        string
	host       *actor
	victims    []*actor // publisher, reliable subscriber, lossy subscriber
	bystanders []*actor // publisher, reliable subscriber
	observer   *control.Client
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, dir: bustest.Dir(t)}
	s.host = spawn(t, s.dir, "host")
	s.victims = s.cast("victim", "lossy")
	s.bystanders = s.cast("bystander")
	s.observer = s.dial(control.Config{Observer: true})
	s.unharmed()
	for _, a := range s.victims {
		a.goOn(t)
	}
	return s
}

// cast starts a publisher, a reliable subscriber, and others of a topic.
func (s *scene) cast(topic string, others ...string) []*actor {
	list := []*actor{nil, spawn(s.t, s.dir, "subscriber", topic)}
	for _, mode := range others {
		list = append(list, spawn(s.t, s.dir, "subscriber", topic, mode))
	}
	list[0] = spawn(s.t, s.dir, "publisher", topic)
	return list
}

// dial joins the bus with this process.
func (s *scene) dial(c control.Config) *control.Client {
	s.t.Helper()
	c.Dir, c.Bus, c.NeverHost = s.dir, "test", true
	client, err := control.Dial(bustest.Context(s.t), c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close() })
	return client
}

// unharmed: the host serves, and the other topic goes on without a loss.
func (s *scene) unharmed() {
	s.t.Helper()
	for _, a := range s.bystanders {
		a.goOn(s.t)
	}
	if s.observer != nil {
		if _, err := s.observer.Host(bustest.Context(s.t)); err != nil {
			s.t.Errorf("the host: %v", err)
		}
	}
}

// finish waits until every victim goes on or says in an allowed way why it
// does not, and checks that nobody else was harmed.
func (s *scene) finish(allowed ...string) {
	s.t.Helper()
	for _, a := range s.victims {
		how := a.outcome(s.t)
		ok := how == ""
		for _, kind := range allowed {
			ok = ok || strings.HasPrefix(how, kind+" ")
		}
		if !ok {
			s.t.Errorf("%s: %s", a.name, how)
		}
	}
	s.unharmed()
}

// named waits until the host names the victim as corrupt.
func (s *scene) named() {
	s.t.Helper()
	bustest.Until(s.t, "the victim to be named as corrupt", func() bool {
		i := s.topic("victim")
		return i.Corrupt != ""
	})
	if i := s.topic("bystander"); i.Corrupt != "" {
		s.t.Errorf("the other topic is called corrupt: %s", i.Corrupt)
	}
}

// topic is what the host says of a topic.
func (s *scene) topic(name string) control.TopicInfo {
	s.t.Helper()
	list, err := s.observer.Topics(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, i := range list {
		if i.Name == name {
			return i
		}
	}
	return control.TopicInfo{}
}

// steal opens a region of the victim that process pid has, as any process of
// the same user can.
func steal(t *testing.T, pid int, region string) *os.File {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink(dir + e.Name()); err == nil && to == "/memfd:"+region+" (deleted)" {
			f, err := os.OpenFile(dir+e.Name(), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		}
	}
	t.Fatalf("process %d has no region %s", pid, region)
	return nil
}

const (
	logRegion    = "shmbus:victim"
	cursorRegion = "shmbus-cursors:victim"
)

// stolen maps a region of the victim.
func (s *scene) stolen(region string, writable bool) []byte {
	s.t.Helper()
	r, err := shm.FromFile(steal(s.t, s.host.pid(), region))
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := r.Map(writable)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { m.Unmap(); r.Close() })
	return m.Bytes()
}

// Offsets into the log region, see docs/layout.md.
const (
	biasAt      = 0x280
	mutexAt     = 0x300
	doorbellAt  = 0x480
	pendingAt   = 0x580
	gatesAt     = 0x800
	spaceAt     = 0x100 // in the cursor region
	headerBytes = 0x1000
)

func word64(b []byte, off int) *shm.Word64 { return shm.Overlay[shm.Word64](b, off) }
func word32(b []byte, off int) *shm.Word32 { return shm.Overlay[shm.Word32](b, off) }
