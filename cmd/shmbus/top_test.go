package main

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/internal/watch"
)

// TestTopWithoutHost: a host that is killed is a problem in what top goes on
// printing, not the end of it.
func TestTopWithoutHost(t *testing.T) {
	place := newPlace(t)
	serve := place.command(t, "serve").start(t)
	place.until(t, `"keep": true`, "stat", "-o", "json")
	asText := place.command(t, "top", "--interval", "100ms")
	text := bufio.NewScanner(asText.out(t))
	asText.start(t)
	asJSON := place.command(t, "top", "--interval", "100ms", "-o", "json")
	lines := json.NewDecoder(asJSON.out(t))
	asJSON.start(t)

	var s watch.Snapshot
	if err := lines.Decode(&s); err != nil || s.Host == nil {
		t.Fatalf("with a host: %+v, %v", s, err)
	}
	if !text.Scan() || !strings.Contains(text.Text(), "host shmbus pid ") {
		t.Fatalf("with a host: %q, %v", text.Text(), text.Err())
	}
	serve.kill(t)
	for s.Problem == "" {
		s = watch.Snapshot{}
		if err := lines.Decode(&s); err != nil {
			t.Fatal(err)
		}
	}
	if s.Host != nil {
		t.Errorf("a problem and a host: %+v", s)
	}
	for !strings.Contains(text.Text(), s.Problem) {
		if !text.Scan() {
			t.Fatalf("the text ended, %v", text.Err())
		}
	}
}
