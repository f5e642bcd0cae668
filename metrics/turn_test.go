package metrics

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/ring"
)

// TestSilentHost: before the scraper gives up, a host that does not answer is
// reported as none.
func TestSilentHost(t *testing.T) {
	for patience, most := range map[string]time.Duration{
		"": readTimeout, "5": readTimeout, "1": 750 * time.Millisecond, "0.01": 7500 * time.Microsecond,
		"0": readTimeout, "-1": readTimeout, "NaN": readTimeout, "+Inf": readTimeout, "1e300": readTimeout, "soon": readTimeout,
	} {
		synctest.Test(t, func(t *testing.T) {
			read := func(ctx context.Context) (reading, error) {
				<-ctx.Done()
				return reading{}, ctx.Err()
			}
			start := time.Now()
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", patience)
			w := httptest.NewRecorder()
			newScraper(newCollector("test", true, read), prometheus.NewRegistry(), nil).ServeHTTP(w, r)
			if took := time.Since(start); took != most { // the clock is the test's
				t.Errorf("%q: it takes %v, want %v", patience, took, most)
			}
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `shmbus_up{bus="test"} 0`) {
				t.Errorf("%q: %d %s", patience, w.Code, w.Body)
			}
		})
	}
}

// TestTakingTurns: of two scrapes at once none makes anything of a reading that
// is older than the other's.
func TestTakingTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, left := topicOf("orders"), topicOf("orders")
		here.Publishers = []ring.PublisherInfo{{Gen: 1}}
		here.Publishers[0].Published = 1000
		readings := make(chan bus.TopicStatistics, 4)
		held := make(chan struct{})
		calls := 0
		c := newCollector("test", true, nil)
		c.read = func(context.Context) (reading, error) {
			calls++
			now := <-readings
			if calls == 2 {
				<-held // behind its reading
			}
			return reading{&bus.HostInfo{}, []bus.TopicStatistics{now}}, nil
		}
		published := func(ctx context.Context) float64 {
			e := c.look(ctx)
			defer c.done(e)
			if list := e.samples[c.descs.publisher.publisher[0].index]; len(list) == 1 {
				return list[0].value
			}
			return -1
		}
		for _, r := range []bus.TopicStatistics{here, here, left, left} {
			readings <- r
		}
		published(t.Context())
		var both sync.WaitGroup
		both.Go(func() { published(t.Context()) })
		synctest.Wait()
		both.Go(func() { published(t.Context()) })
		synctest.Wait()
		if calls != 2 {
			t.Errorf("%d readings, want the third to wait for the second", calls)
		}
		// Who does not get the turn in time says so.
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		e := c.look(ended)
		if up := e.samples[c.descs.up.index]; len(up) != 1 || up[0].value != 0 {
			t.Errorf("without a turn: %v", up)
		}
		c.done(e)
		close(held)
		both.Wait()
		if got := published(t.Context()); got != 1000 {
			t.Errorf("the publisher that left had published 1000 messages, not %v", got)
		}
	})
}

// TestShippedTimeout: Prometheus as we ship it waits longer than we do.
func TestShippedTimeout(t *testing.T) {
	config, err := os.ReadFile("../dashboards/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	least := time.Duration(math.MaxInt64)
	for _, m := range regexp.MustCompile(`scrape_(?:interval|timeout): (\S+)`).FindAllSubmatch(config, -1) {
		d, err := time.ParseDuration(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, d)
	}
	if least < 2*readTimeout || least == math.MaxInt64 {
		t.Errorf("scrapes end after %v, looks after %v", least, readTimeout)
	}
}
