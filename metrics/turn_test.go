package metrics

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
