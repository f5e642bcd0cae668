package examples

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestExamples builds and runs each example and compares what it prints.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "./...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the examples: %v\n%s", err, out)
	}
	want := map[string]string{
		"quickstart":   "0: hello, Ada\n1: hello, Grace\n2: hello, Barbara\n",
		"zerocopy":     "message 0: 524288 bytes, sum 2147450880\nmessage 1: 524288 bytes, sum 2212986880\naborted: 1\n",
		"backpressure": "Fail: 25 messages, then backpressure: true\nDropNewest: 5 dropped\nBlock, nobody reads: context deadline exceeded\nBlock, somebody reads: 99 bytes, <nil>\n",
		"lossy":        "lost some: true\ndelivered + lost = 10000\n",
		"httpservice":  "status 202, event 0: it works\n",
	}
	programs, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(p.Name(), "main.go")); err != nil {
			continue
		}
		t.Run(p.Name(), func(t *testing.T) {
			expected, ok := want[p.Name()]
			if !ok {
				t.Fatal("nobody says what it should print")
			}
			delete(want, p.Name())
			if got := runExample(t, filepath.Join(dir, p.Name())); got != expected {
				t.Errorf("it printed\n%s\nwant\n%s", got, expected)
			}
		})
	}
	for name := range want {
		t.Errorf("no example %s", name)
	}
}

func runExample(t *testing.T, program string) string {
	t.Helper()
	root, err := os.MkdirTemp("", "shmbus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SHMBUS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "SHMBUS_DIR="+root)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, complaints.String())
	}
	return out.String()
}
