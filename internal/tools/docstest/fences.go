//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// block is one fenced block.
type block struct {
	kind   string // first word of the info string
	inRepo bool
	line   int // of the opening fence
	text   string
}

var runnable = map[string]bool{"sh": true, "console": true, "go": true, "python": true}
var readable = map[string]bool{"text": true, "c": true, "json": true, "ini": true, "systemd": true, "promql": true, "yaml": true}

func (b block) runs() bool { return runnable[b.kind] }

// fences returns the fenced blocks of a document.
func fences(text string) ([]block, error) {
	var blocks []block
	var cur *block
	fence, margin := "", ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case cur == nil && strings.HasPrefix(trimmed, "```"):
			margin = line[:len(line)-len(trimmed)]
			info := strings.TrimLeft(trimmed, "`")
			fence = trimmed[:len(trimmed)-len(info)]
			words := strings.Fields(info)
			if len(words) == 0 {
				return nil, fmt.Errorf("line %d: the block says not what it is", i+1)
			}
			cur = &block{kind: words[0], line: i + 1}
			if !runnable[cur.kind] && !readable[cur.kind] {
				return nil, fmt.Errorf("line %d: unknown kind of block %q", i+1, cur.kind)
			}
			for _, w := range words[1:] {
				if w != "in=repo" {
					return nil, fmt.Errorf("line %d: unknown attribute %q", i+1, w)
				}
				cur.inRepo = true
			}
		case cur != nil && strings.TrimSpace(line) == fence:
			blocks, cur = append(blocks, *cur), nil
		case cur != nil:
			cur.text += strings.TrimPrefix(line, margin) + "\n"
		}
	}
	if cur != nil {
		return nil, fmt.Errorf("line %d: the block has no end", cur.line)
	}
	return blocks, nil
}

// command is one command of a console block and what it prints.
type command struct {
	text string
	want []string
}

// commands splits the text of a console block.
func commands(text string) ([]command, error) {
	var cs []command
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		last := len(cs) - 1
		switch {
		case strings.HasPrefix(line, "$ "):
			cs = append(cs, command{text: line[2:]})
		case last < 0:
			return nil, fmt.Errorf("a console block begins with a command after \"$ \", not %q", line)
		case strings.HasPrefix(line, "> ") && len(cs[last].want) == 0:
			cs[last].text += "\n" + line[2:]
		default:
			cs[last].want = append(cs[last].want, line)
		}
	}
	return cs, nil
}

// matches reports whether the printed lines are the wanted ones, where a line
// of "..." stands for any lines and "..." elsewhere for any text.
func matches(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if strings.TrimSpace(want[0]) == "..." {
		for i := 0; i <= len(got); i++ {
			if matches(want[1:], got[i:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && lineMatches(want[0], got[0]) && matches(want[1:], got[1:])
}

func lineMatches(want, got string) bool {
	want, got = strings.Join(strings.Fields(want), " "), strings.Join(strings.Fields(got), " ")
	parts := strings.Split(want, "...")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(got)
}

type link struct {
	line   int
	target string
}

var linkForm = regexp.MustCompile(`\]\(([^)\s#]+)(#[^)\s]*)?\)`)

// brokenLinks returns the relative links of a document that lead nowhere.
func brokenLinks(text, dir string) []link {
	var bad []link
	for i, line := range strings.Split(text, "\n") {
		for _, m := range linkForm.FindAllStringSubmatch(line, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
				bad = append(bad, link{i + 1, m[1]})
			}
		}
	}
	return bad
}
