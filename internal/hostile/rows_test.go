package hostile

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRows: every fault and attack of docs/reliability.md has a test, which is
// where the document says.
func TestRows(t *testing.T) {
	text, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, found := strings.Cut(string(text), "## Faults and attacks\n")
	if !found {
		t.Fatal("docs/reliability.md has no section on faults and attacks")
	}
	section, _, _ := strings.Cut(text2, "\n## ")
	link := regexp.MustCompile(`\[((?:Test|Fuzz)\w+)\]\(\.\./([^)]+)\)`)
	rows := map[string]bool{}
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || strings.TrimSpace(cells[2]) == "fault or attack" || strings.HasPrefix(cells[1], "---") {
			continue
		}
		for id := range strings.SplitSeq(strings.TrimSpace(cells[1]), ", ") {
			rows[id] = true
		}
		tests := link.FindAllStringSubmatch(cells[4], -1)
		if len(tests) == 0 && strings.TrimSpace(cells[4]) != "does not apply" {
			t.Errorf("no test: %s", line)
		}
		for _, m := range tests {
			b, err := os.ReadFile(filepath.Join("../..", m[2]))
			if err != nil || !strings.Contains(string(b), "\nfunc "+m[1]+"(") {
				t.Errorf("%s is not in %s: %v", m[1], m[2], err)
			}
		}
	}
	for kind, most := range map[string]int{"F": 16, "H": 14, "C": 14} {
		for n := 1; n <= most; n++ {
			id := kind + string(rune('0'+n/10)) + string(rune('0'+n%10))
			if id = strings.Replace(id, kind+"0", kind, 1); !rows[id] {
				t.Errorf("row %s is not there", id)
			}
		}
	}
}
