package main

import (
	"context"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "1": 1, "4096": 4096, "1KiB": 1 << 10, "64KiB": 64 << 10, "4MiB": 4 << 20, "1GiB": 1 << 30, "4gib": 4 << 30,
	} {
		var s size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q: %d, %v; want %d", text, uint64(s), err, uint64(want))
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1KB", "1.5MiB", "4 MiB", "1K", "0x10", "18446744073709551615", "9999999999GiB"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q was taken for %d", text, uint64(s))
		}
	}
	for want, s := range map[string]size{"0": 0, "1023": 1023, "64KiB": 64 << 10, "4MiB": 4 << 20, "4097": 4097, "6GiB": 6 << 30} {
		if got := s.String(); got != want {
			t.Errorf("%d is written %q, want %q", uint64(s), got, want)
		}
	}
}

// TestPacer: the schedule is absolute, input that was not there is not made up
// for, and catching up has a limit.
func TestPacer(t *testing.T) {
	ctx := context.Background()
	p := newPacer(1000)
	p.start = time.Now().Add(-100 * time.Millisecond)
	if due, err := p.wait(ctx, 1000); err != nil || due < 101 {
		t.Errorf("after 100 ms at 1000/s %d are due (%v), want 101 or more", due, err)
	}
	if due, _ := p.wait(ctx, 7); due != 7 {
		t.Errorf("%d are due, want the limit", due)
	}
	p.idle(true)
	if p.count != 0 || time.Since(p.start) > 50*time.Millisecond {
		t.Error("a late input did not begin a new schedule")
	}
	p.start = time.Now().Add(-time.Hour)
	if due, _ := p.wait(ctx, 1<<20); due > int(paceDebt/time.Millisecond)*2 {
		t.Errorf("%d are due after an hour: the debt has no limit", due)
	}
	p.start = time.Now().Add(time.Hour)
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.wait(done, 1); err == nil {
		t.Error("a cancelled wait did not end with an error")
	}
	if due, _ := newPacer(0).wait(ctx, 42); due != 42 {
		t.Errorf("unlimited: %d are due, want 42", due)
	}
}

// TestSplit feeds every splitter byte by byte and at once.
func TestSplit(t *testing.T) {
	const limit = 8
	for _, tt := range []struct {
		name  string
		o     pubOptions
		input string
		want  []string
		fails bool
	}{
		{"lines", pubOptions{}, "a\n\nbc\nd", []string{"a", "", "bc", "d"}, false},
		{"lines at the limit", pubOptions{}, "12345678\n12345678", []string{"12345678", "12345678"}, false},
		{"line too long", pubOptions{}, "1\n123456789\n2\n", []string{"1"}, true},
		{"last line too long", pubOptions{}, "1\n123456789", []string{"1"}, true},
		{"chunks", pubOptions{chunk: 3}, "abcdefgh", []string{"abc", "def", "gh"}, false},
		{"prefixed", pubOptions{prefixed: true}, "\x02\x00\x00\x00ab\x00\x00\x00\x00\x01\x00\x00\x00c", []string{"ab", "", "c"}, false},
		{"prefix cut off", pubOptions{prefixed: true}, "\x01\x00\x00\x00a\x01\x00", []string{"a"}, true},
		{"message cut off", pubOptions{prefixed: true}, "\x03\x00\x00\x00ab", nil, true},
		{"message too large", pubOptions{prefixed: true}, "\x09\x00\x00\x00123456789", nil, true},
	} {
		for _, step := range []int{1, 2, 3, len(tt.input)} {
			got, err := splitAll(tt.o.splitter(limit), tt.input, step)
			if (err != nil) != tt.fails {
				t.Errorf("%s by %d: error %v, want one: %v", tt.name, step, err, tt.fails)
			}
			if len(got) != len(tt.want) {
				t.Errorf("%s by %d: %q, want %q", tt.name, step, got, tt.want)
				continue
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("%s by %d: %q, want %q", tt.name, step, got, tt.want)
				}
			}
		}
	}
}

func splitAll(s splitter, input string, step int) (messages []string, err error) {
	var rest []byte
	for {
		n := min(step, len(input))
		rest = append(rest, input[:n]...)
		input = input[n:]
		for {
			m, used, err := s.next(rest, input == "")
			if err != nil {
				return messages, err
			}
			if used == 0 {
				break
			}
			messages = append(messages, string(m))
			rest = rest[used:]
		}
		if input == "" {
			return messages, nil
		}
	}
}
