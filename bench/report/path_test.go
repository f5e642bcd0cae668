package report

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestBiasedPathHasNoLock builds the command and reads its biased path.
func TestBiasedPathHasNoLock(t *testing.T) {
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("the instructions looked for are amd64's")
	}
	program := filepath.Join(t.TempDir(), "shmbus")
	if out, err := exec.Command("go", "build", "-o", program, module+"cmd/shmbus").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p, err := ReadPath(func(symbols string) (string, error) {
		out, err := exec.Command("go", "tool", "objdump", "-s", symbols, program).Output()
		return string(out), err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := p.Locked(); len(found) > 0 {
		t.Errorf("on the biased path:\n%s", strings.Join(found, "\n"))
	}
	if !p.has("ring.publishShort.abi0") || !p.has("ring.(*Producer).publishFlat") || len(p.functions) > 20 {
		t.Errorf("the path has %d functions:\n%s", len(p.functions), p.Part())
	}
}

// disassembled is a program in which the root calls the ring, which has one
// line of interest.
func disassembled(line string) Disassemble {
	const text = "TEXT %s(SB) /src/x.go\n  x.go:7\t\t0x1\t\t90\t\tMOVQ AX, BX\t\n  x.go:9\t\t0x2\t\t90\t\t%s\t\n"
	return func(symbols string) (string, error) {
		switch symbols {
		case `^github\.com/shmbus/shmbus/bus\.\(\*Publisher\)\.Publish$`:
			return fmt.Sprintf(text, root, "CALL "+module+"ring.(*Producer).Publish(SB)"), nil
		case `^github\.com/shmbus/shmbus/ring\.\(\*Producer\)\.Publish$`:
			return fmt.Sprintf(text, "ring", line), nil
		case `^runtime\.lock$`:
			return fmt.Sprintf(text, "lock", "LOCK XADDQ AX, 0(BX)"), nil
		}
		return "", nil
	}
}

func TestReadPath(t *testing.T) {
	for _, tt := range []struct {
		line   string
		locked int
		err    error
	}{
		{"MOVQ AX, 0(CX)", 0, nil},
		{"LOCK CMPXCHGQ DX, 0(CX)", 1, nil},
		{"XCHGL AX, 0x40(CX)", 1, nil},
		{"XCHGL AX, AX", 0, nil},
		{"MFENCE", 1, nil},
		{"CALL runtime.memmove(SB)", 0, nil},
		{"CALL CX", 0, nil},
		{"JBE 0x401010", 0, nil},
		{"CALL runtime.lock(SB)", 1, nil},
		{"CALL " + module + "shm.Gone(SB)", 0, ErrNoSymbol},
	} {
		p, err := ReadPath(disassembled(tt.line))
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", tt.line, err, tt.err)
			continue
		}
		if err == nil && (len(p.Locked()) != tt.locked || !strings.Contains(p.Part(), "  x.go:9               +0x1   "+strings.Replace(tt.line, "0x401010", "+0x40100f", 1))) {
			t.Errorf("%s: got %q in\n%s", tt.line, p.Locked(), p.Part())
		}
	}
}
