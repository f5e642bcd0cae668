package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

const (
	demoTopic       = "files"
	demoBus         = "demo"
	demoSubscribers = 3
	demoMinCapacity = 16 << 20
	// demoPathSize is the u32 before the path in a message; content follows the path.
	demoPathSize = 4
)

func newDemo(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "demo DIR",
		Short: "send every file under DIR to three processes and check each copy",
		Long: `Send every regular file under DIR through a private bus: one process publishes
each file as one message, three others subscribe (two reliable, one lossy). Each
reads the file from disk by itself and compares the SHA-256 of both. Ends with a
table, and with exit code 1 if anything differs. Files that cannot be read are
left out and counted.`,
		Args: dirArg,
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			return runDemo(cmd.Context(), a, args[0])
		}),
	}
}

// tree is what a walk over the directory finds.
type tree struct {
	dir      string // absolute, no symbolic link
	files    uint64
	bytes    uint64
	largest  uint64 // message: prefix, path and content
	path     string // of the largest, relative
	capacity uint64 // of a ring whose quarter holds the largest
}

func scanTree(dir string) (*tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, err
	}
	if info, err := os.Stat(abs); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory", dir)
	}
	t := &tree{dir: abs, capacity: demoMinCapacity}
	err = walkFiles(abs, func(rel string, d fs.DirEntry) error {
		info, err := d.Info()
		if err != nil {
			return nil // gone meanwhile: the publisher says so
		}
		t.files++
		t.bytes += uint64(info.Size())
		if n := demoPathSize + uint64(len(rel)) + uint64(info.Size()); n > t.largest {
			t.largest, t.path = n, rel
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if t.files == 0 {
		return nil, fmt.Errorf("%s holds no regular file: nothing to publish", dir)
	}
	for uint64(ring.MaxMessage(t.capacity)) < t.largest {
		if t.capacity *= 2; t.capacity > ring.MaxCapacity {
			return nil, fmt.Errorf("%s has %s, more than the largest message there can be, %s; choose another directory",
				t.path, bytesText(t.largest), bytesText(uint64(ring.MaxMessage(ring.MaxCapacity))))
		}
	}
	return t, nil
}

// walkFiles calls f for every regular file under dir with its relative path.
// Directories that cannot be read are left out.
func walkFiles(dir string, f func(rel string, d fs.DirEntry) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == dir {
				return err
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return f(path[len(dir)+1:], d)
	})
}

func runDemo(ctx context.Context, a *app, dir string) (err error) {
	t, err := scanTree(dir)
	if err != nil {
		return err
	}
	// A root of its own: the demo neither sees nor disturbs the user's buses.
	root, err := os.MkdirTemp("", "shmbus-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	b, err := bus.Open(ctx, bus.Config{Name: demoBus, Dir: root, Logger: a.logger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()

	result, err := runDemoChildren(ctx, root, t)
	if err != nil {
		return err
	}
	result.check()
	if a.output == formatJSON {
		err = printJSON(result)
	} else {
		_, err = fmt.Fprint(stdout{}, result.text())
	}
	if err == nil && !result.OK {
		err = fmt.Errorf("what arrived differs: %s", result.Problems[0])
	}
	return err
}
