package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// Exit codes, as doc.go and the man pages list them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNothing     = 3
	exitVersion     = 4
	exitTimedOut    = 124
	exitInterrupted = 130
)

// errTimedOut ends a command whose --timeout is over.
var errTimedOut = errors.New("timed out")

// errOutputClosed ends a command whose standard output was closed by its reader.
var errOutputClosed = errors.New("standard output is closed")

// usageError marks an error in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// hints say what to do about errors whose text cannot know the command line.
var hints = []struct {
	err  error
	hint string
}{
	{control.ErrNoTopic, "`shmbus ls` lists the topics"},
	{control.ErrNoBus, "start one with `shmbus serve`, or name another with --dir and --bus"},
	{control.ErrNoHost, "start one with `shmbus serve`"},
	{control.ErrTopicInUse, "end its publishers and subscribers first; `shmbus stat` names them"},
	{control.ErrNameInUse, "choose another --name"},
	{control.ErrExclusive, "choose another topic"},
	{control.ErrDirOwner, "if its owner runs the bus with --group, `shmbus sub --lossy --guest` may read"},
	{control.ErrNoMemory, "choose a smaller --capacity"},
	{control.ErrOptions, "leave --capacity away to take the topic's own"},
}

// exitCode maps an error to the exit code of the process.
func (a *app) exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil, errors.Is(err, errOutputClosed):
		return exitOK
	case errors.As(err, &usage), !a.started, errors.Is(err, control.ErrBadName):
		return exitUsage
	case errors.Is(err, errTimedOut):
		return exitTimedOut
	case errors.Is(err, control.ErrVersion), errors.Is(err, ring.ErrLayoutVersion):
		return exitVersion
	case errors.Is(err, control.ErrNoBus), errors.Is(err, control.ErrNoHost), errors.Is(err, control.ErrNoTopic):
		return exitNothing
	}
	return exitFailed
}

// finish writes the error line, then the command's own last line, and returns
// the exit code.
func (a *app) finish(ctx context.Context, cmd *cobra.Command, err error) int {
	code := a.exitCode(err)
	if s, ok := interrupted(ctx); ok && a.started {
		// A service is stopped with SIGTERM: that is its ordinary end.
		if a.service && s == syscall.SIGTERM && (err == nil || errors.Is(err, context.Canceled)) {
			code = exitOK
		} else {
			code = exitInterrupted
		}
	} else if code != exitOK {
		fmt.Fprintln(os.Stderr, errorLine(cmd, err, code))
	}
	if a.last != "" {
		fmt.Fprintln(os.Stderr, a.last)
	}
	return code
}

// errorLine is one line: the command, what was wrong, what to do.
func errorLine(cmd *cobra.Command, err error, code int) string {
	path := "shmbus"
	if cmd != nil {
		path = cmd.CommandPath()
	}
	line := path + ": " + strings.Join(strings.Fields(err.Error()), " ")
	if code == exitUsage {
		return line + "; see `" + path + " --help`"
	}
	for _, h := range hints {
		if errors.Is(err, h.err) && !strings.Contains(line, h.hint) {
			return line + "; " + h.hint
		}
	}
	return line
}

// warn writes one line to standard error.
func warn(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", cmd.CommandPath(), fmt.Sprintf(format, args...))
}
