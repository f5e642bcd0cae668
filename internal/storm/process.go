package storm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a child that the controller started. Its fields are guarded by
// the arena's mutex but for those set at the start.
type process struct {
	spec  Spec
	cmd   *exec.Cmd
	input io.WriteCloser
	errs  *tailBuffer
	began time.Time
	gone  chan struct{} // closed when it has been waited for and all it told is noted

	ready   bool
	doomed  bool // we killed it
	leaving bool // it was told to finish
	stopped bool
	exited  bool
	told    int             // events and reports
	left    map[uint32]bool // publishers that have closed
	last    *Report         // the last usage
}

// start runs a child. program is the one to run, this one if empty; each event
// and report is handed over in order, then end.
func start(program string, spec Spec, each func(*process, event), text func(*process, Report), end func(*process, error)) (*process, error) {
	if program == "" {
		program = "/proc/self/exe"
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p := &process{spec: spec, cmd: exec.Command(program), errs: &tailBuffer{}, began: time.Now(), gone: make(chan struct{}), left: map[uint32]bool{}}
	p.cmd.Env = append(os.Environ(), specVariable+"="+string(raw))
	if spec.Failpoint != "" {
		p.cmd.Env = append(p.cmd.Env, "SHMBUS_FAILPOINTS="+spec.Failpoint)
	}
	p.cmd.ExtraFiles = []*os.File{w}
	p.cmd.Stderr = p.errs
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		r.Close()
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		err := readEvents(r, func(e event) { each(p, e) }, func(t Report) { text(p, t) })
		r.Close()
		if waited := p.cmd.Wait(); err == nil {
			err = waited
		}
		end(p, err)
		close(p.gone)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// signal sends s; a process that has ended already gets none.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("storm: signal %v to pid %d: %w", s, p.pid(), err)
	}
	return nil
}

// order writes a command.
func (p *process) order(c command) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = p.input.Write(append(raw, '\n'))
	return err
}

func (p *process) String() string { return fmt.Sprintf("pid %d (%s)", p.pid(), p.spec) }

// state is the letter by which the kernel says what a process does.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	i := strings.LastIndex(string(stat), ") ")
	if i < 0 || len(stat) < i+3 {
		return ""
	}
	return string(stat[i+2 : i+3])
}

// tailBuffer keeps the beginning and the end of what a child wrote to its
// standard error.
type tailBuffer struct {
	mu         sync.Mutex
	head, tail []byte
}

const tailSize = 32 << 10

func (t *tailBuffer) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if room := tailSize - len(t.head); room > 0 {
		room = min(room, len(b))
		t.head = append(t.head, b[:room]...)
		b = b[room:]
	}
	t.tail = append(t.tail, b...)
	if over := len(t.tail) - tailSize; over > 0 {
		t.tail = t.tail[over:]
	}
	return n, nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.head) + string(t.tail)
}
