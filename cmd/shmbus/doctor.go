package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/ring"
)

// level says how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // may hurt
	levelFail level = "fail" // hurts
)

// finding is one check and what came out of it.
type finding struct {
	Check  string `json:"check"`
	Level  level  `json:"level"`
	Found  string `json:"found"`
	Wanted string `json:"wanted"`
	Advice string `json:"advice"` // "" where nothing is to be done
}

// examine returns a finding: fine, or of level bad with advice.
func examine(check string, fine bool, bad level, found, wanted, advice string) finding {
	if fine {
		return finding{check, levelOK, found, wanted, ""}
	}
	return finding{check, bad, found, wanted, advice}
}

// errUnwell ends a doctor that found something wrong.
var errUnwell = errors.New("something is wrong")

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "look for what can hurt, on this machine and on the bus",
		Long: `Look for what can hurt on this machine (kernel features, clock, limits, memory,
full file systems, directories) and on the bus (stalled and quarantined
participants, subscribers that hold others up or fall behind, corrupt topics, a
stopped host), and say what to do about each. It observes and changes nothing.
Exit code 1 if something is wrong; what only may hurt is a warning.`,
		Args: noArgs,
		RunE: a.runE(func(cmd *cobra.Command, _ []string) error {
			findings := checkMachine(readMachine(a.rootDir()))
			findings = append(findings, checkBus(a.readBus(cmd.Context()))...)
			return a.report(findings)
		}),
	}
}

// report writes the findings and returns errUnwell if one is a failure.
func (a *app) report(findings []finding) error {
	failed := 0
	var t table
	t.row("CHECK", "LEVEL", "FOUND", "WANTED", "ADVICE")
	for _, f := range findings {
		if f.Level == levelFail {
			failed++
		}
		t.row(f.Check, f.Level, f.Found, f.Wanted, f.Advice)
	}
	var err error
	if a.output == formatJSON {
		err = printJSON(findings)
	} else {
		_, err = fmt.Fprint(stdout{}, t.render(""))
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%w: %d of %d checks failed", errUnwell, failed, len(findings))
	}
	return err
}

// busFacts are what doctor knows of the bus.
type busFacts struct {
	name    string
	version string // of this program
	err     error  // why there is nothing else
	host    control.HostInfo
	topics  []topicFacts
}

type topicFacts struct {
	info        control.TopicInfo
	stat        ring.Stat
	subscribers []ring.SubscriberInfo
	corrupt     error // what this process found itself, twice
}

// checkRecords is how many records of each topic doctor looks at.
const checkRecords = 1 << 16

// readBus looks at the bus as an observer.
func (a *app) readBus(ctx context.Context) busFacts {
	f := busFacts{name: a.busName(), version: programVersion()}
	f.err = a.observe(ctx, func(c *control.Client) (err error) {
		if f.host, err = c.Host(ctx); err != nil {
			return err
		}
		observations, err := c.Observe(ctx)
		if err != nil {
			return err
		}
		for _, o := range observations {
			t := topicFacts{info: o.Info, subscribers: o.Ring.Subscribers(), stat: o.Ring.Stat()}
			// The ring goes on meanwhile: what is there twice was no coincidence.
			if first := o.Ring.Check(checkRecords); first != nil {
				if again := o.Ring.Check(checkRecords); again != nil && again.Error() == first.Error() {
					t.corrupt = again
				}
			}
			f.topics = append(f.topics, t)
			o.Close()
		}
		return nil
	})
	return f
}

// checkBus judges the bus.
func checkBus(f busFacts) []finding {
	const wanted = "a host that answers"
	switch {
	case errors.Is(f.err, control.ErrNoBus), errors.Is(f.err, control.ErrNoHost):
		return []finding{{"host", levelOK, "nobody hosts bus " + f.name, "nothing, or " + wanted, ""}}
	case errors.Is(f.err, control.ErrHostStalled):
		return []finding{{"host", levelFail, f.err.Error(), wanted, "continue it (kill -CONT PID) or kill it: another participant then hosts, or `shmbus serve`"}}
	case errors.Is(f.err, control.ErrVersion), errors.Is(f.err, control.ErrLayout):
		return []finding{{"host", levelFail, f.err.Error(), "one version on one bus", "use the same shmbus everywhere; `shmbus version` says which this is"}}
	case f.err != nil:
		return []finding{{"host", levelFail, f.err.Error(), wanted, "see what the error says; --verbose tells more"}}
	}
	h := f.host
	all := []finding{
		{"host", levelOK, fmt.Sprintf("pid %d, %s, since %s", h.PID, h.Program, timeText(h.Started)), wanted, ""},
		examine("host version", h.Version == "" || h.Version == f.version, levelWarn, h.Version, f.version,
			"run one version of shmbus on one bus"),
		examine("bus memory", h.Memory < h.MaxMemory/10*9, levelWarn, fmt.Sprintf("%s of %s", bytesText(h.Memory), bytesText(h.MaxMemory)),
			"less than 90 %", "remove topics (shmbus rm), or raise --max-memory of the host; cgroup "+h.Cgroup+" pays"),
	}
	for i := range f.topics {
		all = append(all, checkTopic(&f.topics[i])...)
	}
	return all
}

// checkTopic judges one topic; where all is well, in one line.
func checkTopic(t *topicFacts) []finding {
	var all []finding
	bad := func(l level, found, wanted, advice string) {
		all = append(all, finding{"topic " + t.info.Name, l, found, wanted, advice})
	}
	switch {
	case t.info.Corrupt != "":
		bad(levelFail, "in quarantine: "+t.info.Corrupt, "bytes that agree", "end its participants: it goes with the last (under serve: shmbus rm), and is made anew by a publisher; find who writes there")
	case t.corrupt != nil:
		bad(levelFail, t.corrupt.Error(), "bytes that agree", "end its participants and make it anew; find who writes there")
	}
	if t.info.Stalled != "" {
		since := ""
		if !t.info.StalledSince.IsZero() {
			since = ", since " + timeText(t.info.StalledSince)
		}
		bad(levelFail, "stalled: "+t.info.Stalled+since, "nobody stopped inside the lock", "continue it (kill -CONT PID, thaw its control group) or kill it; `shmbus serve --on-stall kill` does that by itself")
	}
	for _, q := range t.info.Quarantined {
		bad(levelWarn, "quarantined: "+q+" has lost its connection and is not proven dead", "publishers that are connected", "end that process if it hangs; its slot is free then")
	}
	for _, s := range t.subscribers {
		checkSubscriber(t, s, bad)
	}
	if len(all) == 0 {
		all = append(all, finding{"topic " + t.info.Name, levelOK,
			fmt.Sprintf("%d messages, %d publishers, %d subscribers", t.stat.Sequence, t.info.Publishers, t.info.Subscribers), "nobody in the way", ""})
	}
	return all
}

// checkSubscriber says whether a subscriber holds publishers up or falls behind.
func checkSubscriber(t *topicFacts, s ring.SubscriberInfo, bad func(l level, found, wanted, advice string)) {
	who := fmt.Sprintf("subscriber slot %d", s.Slot)
	if s.Name != "" {
		who = fmt.Sprintf("subscriber %q (slot %d)", s.Name, s.Slot)
	}
	lag := max(int64(t.stat.Sequence-s.Sequence), 0)
	switch {
	case s.Mode == ring.Lossy && s.Lost() > 0:
		bad(levelWarn, fmt.Sprintf("%s has lost %d messages of %d", who, s.Lost(), s.Lost()+s.Delivered), "no loss",
			"make it faster, or the topic with a larger --capacity")
	case s.Mode == ring.Reliable && !s.Gating:
		bad(levelWarn, who+" was detached, and has not noticed or not left", "subscribers that keep up",
			"let it subscribe anew; raise its --max-lag or the topic's --capacity if it happens often")
	case s.Mode == ring.Reliable && t.stat.GatingSlot == s.Slot && !s.Guest && t.stat.Used > t.stat.Capacity/10*9:
		bad(levelWarn, fmt.Sprintf("%s holds publishers up: %d messages behind, the ring is %d %% full", who, lag, 100*t.stat.Used/t.stat.Capacity),
			"less than 90 %", "see whether it is stopped or slow; give it --max-lag, or make it --lossy, or the topic with a larger --capacity")
	}
}
