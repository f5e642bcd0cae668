package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// flagError says what a flag wants where the parser of numbers would speak for
// itself.
func flagError(_ *cobra.Command, err error) error {
	var n *strconv.NumError
	if !errors.As(err, &n) {
		return err
	}
	want := "want a whole number"
	switch {
	case errors.Is(n.Err, strconv.ErrRange):
		want = n.Err.Error()
	case n.Func == "ParseBool":
		want = "want true or false"
	case n.Func == "ParseUint":
		want = "want a whole number above 0"
	}
	return errors.New(strings.Replace(err.Error(), n.Error(), want, 1))
}

// size is a number of bytes on the command line: 512, 64KiB, 4MiB, 1GiB.
type size uint64

var units = []struct {
	suffix string
	shift  uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}}

func (s *size) Set(text string) error {
	digits, shift := text, uint(0)
	for _, u := range units {
		if len(text) > 3 && strings.EqualFold(text[len(text)-3:], u.suffix) {
			digits, shift = text[:len(text)-3], u.shift
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return errors.New("want bytes, or a whole number with KiB, MiB or GiB, like 64KiB")
	}
	*s = size(n << shift)
	return nil
}

func (s *size) Type() string { return "size" }

func (s *size) String() string {
	for i := len(units) - 1; i >= 0; i-- {
		if u := units[i]; *s != 0 && *s&(1<<u.shift-1) == 0 {
			return strconv.FormatUint(uint64(*s)>>u.shift, 10) + u.suffix
		}
	}
	return strconv.FormatUint(uint64(*s), 10)
}

// checkCapacity says what a capacity must be; 0 stands for "not given".
func (s size) checkCapacity(given bool) error {
	if given && (s < ring.MinCapacity || s > ring.MaxCapacity || s&(s-1) != 0) {
		return usagef("--capacity %v: want a power of two from 4KiB to 4GiB", &s)
	}
	return nil
}

// rate is a number of messages a second: 1000 or 1000/s. 0 is unlimited.
type rate float64

func (r *rate) Set(text string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	if err != nil || !(n > 0) || n > 1e9 {
		return errors.New("want messages per second from above 0 to 1e9, like 1000/s")
	}
	*r = rate(n)
	return nil
}

func (r *rate) Type() string { return "N/s" }

func (r *rate) String() string {
	if *r == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*r), 'g', -1, 64) + "/s"
}

// start is where a subscriber begins.
type start struct {
	text  string
	start bus.Start
}

func (s *start) Set(text string) error {
	switch {
	case text == "latest":
		s.start = bus.Latest()
	case text == "earliest":
		s.start = bus.Earliest()
	case strings.HasPrefix(text, "-"):
		d, err := time.ParseDuration(text[1:])
		if err != nil || d <= 0 {
			return errStart
		}
		s.start = bus.FromAge(d)
	default:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return errStart
		}
		s.start = bus.FromSequence(n)
	}
	s.text = text
	return nil
}

var errStart = errors.New("want latest, earliest, a sequence number, or an age like -10s")

func (s *start) Type() string   { return "where" }
func (s *start) String() string { return s.text }

// choice is a flag with a closed set of words.
type choice struct {
	word  string
	words []string
}

func (c *choice) Set(text string) error {
	for _, w := range c.words {
		if text == w {
			c.word = text
			return nil
		}
	}
	return fmt.Errorf("want %s", strings.Join(c.words, ", "))
}

func (c *choice) Type() string   { return strings.Join(c.words, "|") }
func (c *choice) String() string { return c.word }

// format is how results are written.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

func (f *format) Set(text string) error {
	if text != string(formatText) && text != string(formatJSON) {
		return errors.New("want text or json")
	}
	*f = format(text)
	return nil
}

func (f *format) Type() string   { return "format" }
func (f *format) String() string { return string(*f) }
