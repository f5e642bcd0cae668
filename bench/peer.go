//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	case "peer-spsc":
		return stageLimit(s)
	case "peer-iceoryx":
		return h.daemon("iox-roudi", "--log-level", "error")
	}
	return nil
}

// daemon starts a program that a peer needs besides its own processes, once a
// run. It has said something by the time this returns.
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
	if _, err := out.Read(make([]byte, 4096)); err != nil {
		return fmt.Errorf("%w: %s ended: %w", ErrActor, name, err)
	}
	go io.Copy(io.Discard, out) // until it ends
	return nil
}
