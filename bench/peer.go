//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Peers are programs of bench/peers; main.c there is what an actor is here.

// peerCommand prepares the process of one actor of a peer.
func (h *harness) peerCommand(ctx context.Context, s *stage, a amount, actor int) *exec.Cmd {
	clock := "clock"
	if h.clock.TSC {
		clock = "tsc"
	}
	program := filepath.Join(h.Peers, strings.TrimPrefix(s.cell.Mechanism, "peer-"))
	return exec.CommandContext(ctx, program, string(s.cell.Pattern), strconv.Itoa(s.cell.Size), strconv.Itoa(a.warm),
		strconv.Itoa(a.count), strconv.Itoa(actor), strconv.Itoa(h.assign(s.cell, actor)[0]), s.dir, clock)
}

// stagePeer makes what the processes of a peer share.
func (h *harness) stagePeer(s *stage) error {
	switch s.cell.Mechanism {
	case "peer-spsc", "peer-spsc-batched":
		return stageLimit(s)
	case "peer-iceoryx":
		// It names a socket and a lock after each process, and leaves them
		// where a process was killed.
		for actor := range s.files {
			name := fmt.Sprintf("/tmp/shmbus-%s-%d", filepath.Base(s.dir), actor)
			s.keep = append(s.keep, func() { os.Remove(name); os.Remove(name + ".lock") })
		}
		// Monitoring takes the memory of a process whose keep-alive thread,
		// which shares the spinning one's processor, is late.
		return h.daemon("iox-roudi", "--log-level", "error", "--monitoring-mode", "off")
	}
	return nil
}

// daemon starts a program that a peer needs besides its own processes, once a
// run. It has said that it is ready by the time this returns.
func (h *harness) daemon(name string, args ...string) error {
	if h.daemons[name] != nil {
		return nil
	}
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", ErrActor, err)
	}
	h.daemons[name] = func() { _ = errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()) }
	lines := bufio.NewScanner(out)
	for ready := false; !ready; ready = strings.Contains(lines.Text(), "ready") {
		if !lines.Scan() {
			return fmt.Errorf("%w: %s ended, or did not say that it is ready", ErrActor, name)
		}
	}
	go io.Copy(io.Discard, out) // until it ends
	return nil
}
