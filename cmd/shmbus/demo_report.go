package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// demoReport is what a process of the demo tells its parent.
type demoReport struct {
	Role     string       `json:"role"`
	Mode     string       `json:"mode,omitempty"`
	Messages uint64       `json:"messages"` // published or delivered
	Bytes    uint64       `json:"bytes"`    // payloads
	Lost     uint64       `json:"lost"`
	Seconds  float64      `json:"seconds"` // first message to last
	Latency  *latencyJSON `json:"latency,omitempty"`
	Digest   string       `json:"digest,omitempty"`  // SHA-256 over the sorted paths and their SHA-256
	Skipped  uint64       `json:"skipped,omitempty"` // files that could not be read
	Differ   []string     `json:"differ,omitempty"`  // first few that differ from the disk
	Final    bool         `json:"final"`
}

// latencyJSON is publish to consume, in ns.
type latencyJSON struct {
	P50  int64 `json:"p50_ns"`
	P99  int64 `json:"p99_ns"`
	P999 int64 `json:"p999_ns"`
}

func newLatency(h *hdrhistogram.Histogram) *latencyJSON {
	return &latencyJSON{P50: h.ValueAtQuantile(50), P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9)}
}

func (r *demoReport) perSecond(n uint64) float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(n) / r.Seconds
}

// differLimit bounds how many differences a report names.
const differLimit = 5

func (r *demoReport) differs(path, why string) {
	if len(r.Differ) < differLimit {
		r.Differ = append(r.Differ, path+": "+why)
	}
}

// reporter writes reports to the parent, not too often.
type reporter struct {
	report  demoReport
	sums    []string // "path NUL hex(sum)"
	began   time.Time
	written time.Time
}

const reportEvery = 100 * time.Millisecond

// count counts one message.
func (r *reporter) count(path string, size int, sum [sha256.Size]byte) {
	r.report.Messages++
	r.report.Bytes += uint64(size)
	r.sums = append(r.sums, path+"\x00"+hex.EncodeToString(sum[:]))
}

// progress writes a report if the last one is some time ago.
func (r *reporter) progress() error {
	now := time.Now()
	if r.began.IsZero() {
		r.began, r.written = now, now
	}
	if now.Sub(r.written) < reportEvery {
		return nil
	}
	r.written = now
	return r.write()
}

// finish writes the last report.
func (r *reporter) finish() error {
	if !r.began.IsZero() {
		r.report.Seconds = time.Since(r.began).Seconds()
	}
	slices.Sort(r.sums)
	sum := sha256.Sum256([]byte(strings.Join(r.sums, "\n")))
	r.report.Digest = hex.EncodeToString(sum[:])
	r.report.Final = true
	return r.write()
}

func (r *reporter) write() error { return json.NewEncoder(os.Stdout).Encode(&r.report) }

// demoResult is the outcome of the demo, as -o json writes it.
type demoResult struct {
	Directory   string       `json:"directory"`
	Files       uint64       `json:"files"`
	Bytes       uint64       `json:"bytes"`
	Capacity    uint64       `json:"capacity"`
	Publisher   demoReport   `json:"publisher"`
	Subscribers []demoReport `json:"subscribers"`
	OK          bool         `json:"ok"`
	Problems    []string     `json:"problems,omitempty"`
}

// check fills OK and Problems.
func (d *demoResult) check() {
	problem := func(format string, args ...any) { d.Problems = append(d.Problems, fmt.Sprintf(format, args...)) }
	p := &d.Publisher
	for i := range d.Subscribers {
		s := &d.Subscribers[i]
		for _, text := range s.Differ {
			problem("subscriber %d: %s", i+1, text)
		}
		if s.Messages+s.Lost != p.Messages {
			problem("subscriber %d: delivered %d and lost %d, but %d were published", i+1, s.Messages, s.Lost, p.Messages)
		}
		if s.Mode == "lossy" {
			continue
		}
		if s.Lost != 0 {
			problem("subscriber %d is reliable and lost %d", i+1, s.Lost)
		}
		if s.Digest != p.Digest {
			problem("subscriber %d: digest %s, want %s", i+1, s.Digest, p.Digest)
		}
	}
	d.OK = len(d.Problems) == 0
}

func (d *demoResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d files, %s, through a ring of %s\n\n", d.Directory, d.Files, bytesText(d.Bytes), bytesText(d.Capacity))
	var t table
	t.row("PROCESS", "MODE", "MESSAGES", "BYTES", "MESSAGES/S", "BYTES/S", "P50", "P99", "P99.9", "LOST", "DIGEST")
	add := func(role string, r *demoReport) {
		p50, p99, p999, lost, digest := "", "", "", "", r.Digest[:16]
		if r.Latency != nil {
			p50, p99, p999 = nsText(r.Latency.P50), nsText(r.Latency.P99), nsText(r.Latency.P999)
			lost = fmt.Sprint(r.Lost)
		}
		if r.Mode == "lossy" && r.Lost > 0 {
			digest = "" // over what was delivered: equal to nobody's
		}
		t.row(role, r.Mode, r.Messages, bytesText(r.Bytes), fmt.Sprintf("%.0f", r.perSecond(r.Messages)),
			bytesText(uint64(r.perSecond(r.Bytes))), p50, p99, p999, lost, digest)
	}
	add("publisher", &d.Publisher)
	for i := range d.Subscribers {
		add(fmt.Sprintf("subscriber %d", i+1), &d.Subscribers[i])
	}
	b.WriteString(t.render("") + "\n")
	if d.Publisher.Skipped > 0 {
		fmt.Fprintf(&b, "%d files could not be read and are left out\n", d.Publisher.Skipped)
	}
	if d.OK {
		fmt.Fprintf(&b, "every copy matches the disk; digest %s\n", d.Publisher.Digest)
	}
	for _, p := range d.Problems {
		fmt.Fprintf(&b, "DIFFERS: %s\n", p)
	}
	return b.String()
}

func nsText(ns int64) string { return durationText(time.Duration(ns)) }
