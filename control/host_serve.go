package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Serve hosts a bus and nothing else, until ctx ends; then it returns nil. Topics
// live until they are removed if config.Host.Keep says so. A socket handed over by
// the service manager (LISTEN_FDS, named "control" or the only one) is used; when
// the host is ready, ready is called with the socket's path and the service
// manager is told (NOTIFY_SOCKET).
//
// Errors: ErrHostRunning naming the pid, ErrLockLost, and those of opening the
// directory.
func Serve(ctx context.Context, config Config, ready func(addr string)) error {
	if config.Bus == "" {
		config.Bus = DefaultBus
	}
	log := config.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	handed, err := takeHanded()
	if err != nil {
		return err
	}
	config.Host.stored, config.Host.store = handed.topics, os.Getenv("NOTIFY_SOCKET") != ""
	h, member, dir, err := becomeHost(config, handed.listener, log)
	if err != nil {
		handed.close()
		return err
	}
	defer dir.Close()
	defer member.Close()
	defer h.close()
	if err := notifyManager("READY=1"); err != nil {
		log.Warn("tell the service manager", "error", err)
	}
	if ready != nil {
		ready(h.listening().Addr())
	}
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := notifyManager("STOPPING=1"); err != nil {
				log.Debug("tell the service manager", "error", err)
			}
			return nil
		case <-h.ended:
			return fmt.Errorf("%w: another process may host %s", ErrLockLost, dir)
		case <-check.C:
			if err := member.Check(); err != nil {
				log.Warn("proof of life", "error", err)
			}
		}
	}
}

// becomeHost takes the lock of the bus and serves it.
func becomeHost(config Config, ln *Listener, log *slog.Logger) (h *host, m *Member, d *BusDir, err error) {
	dir, err := openDir(config, true)
	if err != nil {
		return nil, nil, nil, err
	}
	var member *Member
	defer func() {
		if err == nil {
			return
		}
		if member != nil {
			member.Close()
		}
		dir.Close()
	}()
	lock, ok, err := dir.TryHostLock()
	if err != nil {
		return nil, nil, nil, err
	}
	if !ok {
		return nil, nil, nil, fmt.Errorf("%w: pid %d hosts %s", ErrHostRunning, dir.HostPID(), dir)
	}
	if member, err = dir.JoinMembers(); err != nil {
		return nil, nil, nil, errors.Join(err, lock.Release())
	}
	if ln != nil {
		ln.findFile(dir)
		ln.guard(dir)
	} else if ln, err = Listen(dir); err != nil {
		return nil, nil, nil, errors.Join(err, lock.Release())
	}
	h, err = newHost(dir, lock, ln, member.ID(), false, config.Host, log)
	return h, member, dir, err
}
