package storm

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/shmbus/shmbus/bus"
)

// TestStoppedHostStaysTheHost: a host that is stopped keeps its lock, however
// long. Who wants to join is told its pid, who is attached goes on, and nobody
// takes its place; when it continues, all is as before.
func TestStoppedHostStaysTheHost(t *testing.T) {
	t.Parallel()
	a, err := openArena(Config{Seed: seed(t)}.withDefaults(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	r := &round{arena: a, topics: []Role{{ID: a.newID(), Kind: roleSubscriber, Topic: "topic", Capacity: 64 << 10, Earliest: true}}}
	r.cast = []Spec{{}, {Roles: []Role{{Kind: rolePublisher, Topic: "topic", Style: styleBlock}}}, {Roles: []Role{{Kind: roleSubscriber, Topic: "topic"}}}}
	if err := r.start(); err != nil {
		t.Fatal(err, a.told())
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err, a.told())
		}
	}
	delivered := func() (n int) { return len(a.histories["topic"].Subscribers[0].Got) }
	must(a.await("messages", func() bool { return delivered() > 0 }))
	host, err := r.findHost()
	must(err)
	must(host.signal(syscall.SIGSTOP))
	must(a.await("the host to be stopped", func() bool { return state(host.pid()) == "T" }))

	_, err = bus.Open(t.Context(), bus.Config{Dir: a.root, Name: busName})
	if !errors.Is(err, bus.ErrHostStalled) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", host.pid())) {
		t.Errorf("joining while the host is stopped: %v, want %v that names pid %d", err, bus.ErrHostStalled, host.pid())
	}
	a.mu.Lock()
	before := delivered()
	a.mu.Unlock()
	must(a.await("those attached to go on", func() bool { return delivered() > before+100 }))
	pid := 0 // one look may miss it
	must(a.await("the pid of the host", func() bool { pid = a.dir.HostPID(); return pid != 0 }))
	if pid != host.pid() {
		t.Errorf("pid %d has taken the place of a stopped host, pid %d", pid, host.pid())
	}

	must(host.signal(syscall.SIGCONT))
	b, err := bus.Open(t.Context(), bus.Config{Dir: a.root, Name: busName})
	must(err)
	info, err := b.Host(t.Context())
	if err != nil || info.PID != host.pid() {
		t.Errorf("after it has continued: the host is pid %d, want %d; %v", info.PID, host.pid(), err)
	}
	must(b.Close())
	must(r.settle())
	r.judge()
	must(a.told())
}
