//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/shmbus/shmbus/bench/report"
)

// write makes pictures and tables of the results that are there.
func (p *places) write(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(p.dir, "*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no results in %s: measure first", p.dir)
	}
	runs := map[string]report.Run{}
	for _, f := range files {
		base := strings.TrimSuffix(f, ".json")
		if runs[filepath.Base(base)], err = report.ReadRun(base); err != nil {
			return err
		}
	}
	for name, svg := range report.Charts(runs) {
		if err := os.WriteFile(filepath.Join(p.dir, name), svg, 0o644); err != nil {
			return err
		}
	}
	parts := report.Parts(runs)
	path, err := report.ReadPath(func(symbols string) (string, error) {
		out, err := exec.CommandContext(ctx, "go", "tool", "objdump", "-s", symbols, p.bin).Output()
		if err != nil {
			return "", fmt.Errorf("disassembling %s: %w", p.bin, err)
		}
		return string(out), nil
	})
	if err != nil {
		return err
	}
	parts["path"] = path.Part()
	text, err := os.ReadFile(p.doc)
	if err != nil {
		return err
	}
	after, err := report.Rewrite(string(text), parts)
	if err != nil {
		return fmt.Errorf("%s: %w", p.doc, err)
	}
	return os.WriteFile(p.doc, []byte(after), 0o644)
}
