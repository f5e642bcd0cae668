package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/ring"
)

// server is a Prometheus of Debian's that scrapes us.
type server struct {
	url string
	log *os.File
}

// startPrometheus starts one, by the configuration we ship but for the address
// and the interval.
func startPrometheus(t *testing.T, target string, flags ...string) server {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("SHMBUS_PROMETHEUS") != "" {
			t.Fatal(err)
		}
		t.Skip("no prometheus; `make prometheus` installs it")
	}
	dir := t.TempDir()
	shipped, err := os.ReadFile("../dashboards/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := filepath.Abs("../dashboards/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(DefaultAddress, target, "interval: 5s", "interval: 1s", "alerts.yml", alerts).Replace(string(shipped))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0"}, flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	return server{"http://" + listening(t, log.Name()), log}
}

// listening waits until a Prometheus listens, and returns where: it chooses the
// port itself, since one chosen for it may be another's by then.
func listening(t *testing.T, log string) (address string) {
	t.Helper()
	line := regexp.MustCompile(`"Listening on".* address=(\S+)`)
	var text []byte
	defer func() {
		if address == "" {
			t.Logf("%s", text)
		}
	}()
	bustest.Until(t, "Prometheus to listen", func() bool {
		var err error
		if text, err = os.ReadFile(log); err != nil {
			t.Fatal(err)
		}
		if found := line.FindSubmatch(text); found != nil {
			address = string(found[1])
		}
		return address != ""
	})
	return address
}

// point is one element of an instant query's result.
type point struct {
	Metric map[string]string
	Value  [2]any
}

func (s point) float(t *testing.T) float64 {
	t.Helper()
	text, _ := s.Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// query asks for the value of an expression now; nothing while it does not
// answer.
func (s server) query(t *testing.T, q string) []point {
	t.Helper()
	r, err := http.Get(s.url + "/api/v1/query?query=" + url.QueryEscape(q))
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []point }
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return nil // still starting
	}
	if answer.Status != "success" {
		t.Fatalf("%s: %s", q, answer.Error)
	}
	return answer.Data.Result
}

// until asks again and again until ok.
func (s server) until(t *testing.T, q string, ok func([]point) bool) []point {
	t.Helper()
	watchdog := time.After(bustest.Watchdog)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		result := s.query(t, q)
		if ok(result) {
			return result
		}
		select {
		case <-ticker.C:
		case <-watchdog:
			log, _ := os.ReadFile(s.log.Name())
			t.Fatalf("%s stays %v\n%s", q, result, log)
		}
	}
}

// load publishes and reads until the context ends.
func load(ctx context.Context, t *testing.T, w world) *sync.WaitGroup {
	t.Helper()
	var running sync.WaitGroup
	p := w.publisher(t, "orders", "desk")
	q := w.publisher(t, "orders", "")
	for _, c := range []bus.SubscriberConfig{{Name: "audit"}, {Name: "view", Mode: bus.Lossy}, {}} {
		s := w.subscriber(t, "orders", c)
		running.Go(func() {
			for _, err := range s.Messages(ctx) {
				if err != nil {
					return
				}
			}
		})
	}
	for _, p := range []*bus.Publisher{p, q} {
		running.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if p.Publish(ctx, fmt.Appendf(nil, "%d", n)) != nil {
					return
				}
			}
		})
	}
	return &running
}

// sometimesEmpty are panels that show something only when something is wrong.
var sometimesEmpty = []string{"Who gates", "Stopped and missing"}

// TestPrometheus lets a real Prometheus scrape a bus under load and asks it for
// what every panel shows, and for p99, without native histograms and with.
func TestPrometheus(t *testing.T) {
	for _, native := range []bool{false, true} {
		t.Run(map[bool]string{false: "classic", true: "native"}[native], func(t *testing.T) { scrape(t, native) })
	}
}

func scrape(t *testing.T, native bool) {
	w := newWorld(t)
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, w.observer, Options{}) }()
	var flags []string
	if native {
		flags = []string{"--enable-feature=native-histograms"}
	}
	s := startPrometheus(t, l.Addr().String(), flags...)
	loading, stop := context.WithCancel(ctx)
	running := load(loading, t, w)
	rate := "sum(rate(shmbus_topic_delivered_messages_total[10s]))"
	s.until(t, rate, func(r []point) bool { return len(r) == 1 && r[0].float(t) > 0 })
	everyPanel(t, s)
	p99, _, _ := strings.Cut(latencyAlert(t), " > ")
	s.until(t, p99, func(r []point) bool { return len(r) == 1 && r[0].Metric["topic"] == "orders" && r[0].float(t) > 0 })
	stop()
	running.Wait()

	// Everything is over: what the memory says and what Prometheus says agree.
	topics, err := w.observer.Statistics(t.Context())
	if err != nil || len(topics) != 1 {
		t.Fatalf("%d topics, %v", len(topics), err)
	}
	total := topics[0].Totals.Subscribers
	count := `shmbus_topic_delivery_latency_seconds_count{topic="orders"}`
	if native {
		count = `histogram_count(shmbus_topic_delivery_latency_seconds{topic="orders"})`
	}
	s.until(t, count, func(r []point) bool { return len(r) == 1 && r[0].float(t) == float64(total.Latency.Count()) })
	for _, q := range []float64{0.5, 0.99} {
		query := fmt.Sprintf(`histogram_quantile(%g, sum by (le) (shmbus_topic_delivery_latency_seconds_bucket))`, q)
		width := 2.0 // a classic bucket
		if native {
			query = fmt.Sprintf(`histogram_quantile(%g, sum(shmbus_topic_delivery_latency_seconds))`, q)
			width = math.Exp2(1.0 / (1 << ring.HistogramSchema))
		}
		theirs := s.until(t, query, func(r []point) bool { return len(r) == 1 })[0].float(t)
		ours := total.Latency.Quantile(q).Seconds()
		if theirs > ours*width || theirs < ours/width {
			t.Errorf("quantile %v: Prometheus says %v, we %v", q, theirs, ours)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func everyPanel(t *testing.T, s server) {
	t.Helper()
	for panel, q := range dashboardQueries(t) {
		empty := false
		for _, p := range sometimesEmpty {
			empty = empty || strings.HasPrefix(panel, p)
		}
		if empty {
			s.query(t, q) // it answers
			continue
		}
		s.until(t, q, func(r []point) bool { return len(r) > 0 })
	}
}

// TestPromtoolCheckMetrics: a scrape under load is clean.
func TestPromtoolCheckMetrics(t *testing.T) {
	tool := promtool(t)
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	running := load(ctx, t, w)
	_, _, body := get(t, Handler(w.observer, Options{}), "/metrics", "")
	cancel()
	running.Wait()
	cmd := exec.Command(tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
