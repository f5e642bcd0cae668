package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promtool is Debian's, where it is installed; `make prometheus` insists.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("SHMBUS_PROMETHEUS") != "" {
			t.Fatal(err)
		}
		t.Skip("no promtool; `make prometheus` installs it")
	}
	return path
}

// dashboardQueries are the expressions of the Grafana dashboard, its variables
// replaced as Grafana would.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../dashboards/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Type    string
			Title   string
			Targets []struct{ RefID, Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer("$__rate_interval", "1m", "$bus", ".*", "$topic", ".*")
	queries := map[string]string{}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for i, target := range p.Targets {
			q := replace.Replace(target.Expr)
			if strings.Contains(q, "$") || q == "" {
				t.Errorf("panel %q: a variable is left in %q", p.Title, q)
			}
			queries[fmt.Sprintf("%s/%d", p.Title, i)] = q
		}
	}
	for _, v := range dashboard.Templating.List {
		if m := regexp.MustCompile(`^label_values\(([a-z_]+)`).FindStringSubmatch(v.Definition); v.Type == "query" && m == nil {
			t.Errorf("variable %s asks for %q", v.Name, v.Definition)
		} else if v.Type == "query" {
			queries["variable "+v.Name] = m[1]
		}
	}
	return queries
}

// TestDashboardQueries: each is an expression that Debian's Prometheus takes,
// and asks for what is exported.
func TestDashboardQueries(t *testing.T) {
	queries := dashboardQueries(t)
	if len(queries) < 25 {
		t.Fatalf("only %d queries", len(queries))
	}
	exported := exportedNames()
	rules := "groups:\n  - name: panels\n    rules:\n"
	n := 0
	for panel, q := range queries {
		n++
		rules += fmt.Sprintf("      - record: panel:%d\n        expr: %q\n", n, q)
		checkNames(t, panel, q, exported)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, promtool(t), "check", "rules", file)
}

// TestAlerts: the rules are right, each fires and stays quiet where it should,
// and each is explained.
func TestAlerts(t *testing.T) {
	raw, err := os.ReadFile("../dashboards/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../dashboards/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	exported := exportedNames()
	alerts := regexp.MustCompile(`alert: (\w+)\n\s+expr: (.+)`).FindAllStringSubmatch(string(raw), -1)
	if len(alerts) < 10 {
		t.Fatalf("only %d alerts", len(alerts))
	}
	for _, a := range alerts {
		checkNames(t, a[1], a[2], exported)
		for _, want := range []string{"name: " + a[1] + " fires\n", "name: " + a[1] + " stays quiet\n"} {
			if !strings.Contains(string(tests), want) {
				t.Errorf("no test %q", want)
			}
		}
		if !strings.Contains(string(manual), "`"+a[1]+"`") {
			t.Errorf("docs/observability.md does not explain %s", a[1])
		}
	}
	tool := promtool(t)
	run(t, tool, "check", "rules", "../dashboards/alerts.yml")
	run(t, tool, "test", "rules", "../dashboards/alerts_test.yml")
	run(t, tool, "check", "config", "--syntax-only", "../dashboards/prometheus.yml")
}

// TestBothHistograms: what asks for latencies asks for classic buckets and for
// native histograms, whichever Prometheus has.
func TestBothHistograms(t *testing.T) {
	queries := dashboardQueries(t)
	queries["ShmbusLatencyHigh"] = latencyAlert(t)
	n := 0
	for where, q := range queries {
		if !strings.Contains(q, "_latency_seconds") {
			continue
		}
		n++
		if classic, native, ok := strings.Cut(q, " or "); !ok || !strings.Contains(classic, "_latency_seconds_bucket") || !regexp.MustCompile(`_latency_seconds[{\[]`).MatchString(native) {
			t.Errorf("%s asks for one kind of histogram: %s", where, q)
		}
	}
	if n < 6 {
		t.Errorf("only %d queries for latencies", n)
	}
}

// latencyAlert is the expression of ShmbusLatencyHigh.
func latencyAlert(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../dashboards/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`alert: ShmbusLatencyHigh\n\s+expr: (.+)`).FindSubmatch(raw)
	if found == nil {
		t.Fatal("no ShmbusLatencyHigh")
	}
	return string(found[1])
}

// TestManual: every series is explained.
func TestManual(t *testing.T) {
	manual, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range exportedNames() {
		if !strings.Contains(string(manual), "`"+name+"`") {
			t.Errorf("docs/observability.md does not explain %s", name)
		}
	}
}

// exportedNames are the names of all series.
func exportedNames() map[string]bool {
	names := map[string]bool{}
	for _, s := range newDescs("test").all {
		names[s.name] = true
	}
	return names
}

func checkNames(t *testing.T, where, query string, exported map[string]bool) {
	t.Helper()
	for _, name := range regexp.MustCompile(`shmbus_[a-z_]+`).FindAllString(query, -1) {
		if !exported[name] && !exported[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("%s asks for %s, which nobody exports", where, name)
		}
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
