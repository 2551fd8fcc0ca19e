package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/forger"
)

// metric reads one metric of a resolver that was started with metrics.
func metric(t *testing.T, l *lab, name string) float64 {
	t.Helper()
	text, _ := fetched(t, metricsAt(t, l))
	at := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if at == nil {
		t.Fatalf("no %s in\n%s", name, text)
	}
	v, err := strconv.ParseFloat(at[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ofLog is the metric of a forged log.
func ofLog(name, more string) string {
	return fmt.Sprintf(`%s{log="%s"%s}`, name, forger.Origin, more)
}

func metricsAt(t *testing.T, l *lab) string {
	t.Helper()
	at := regexp.MustCompile(`(?m)^  metrics +(\S+)$`).FindStringSubmatch(l.banner)
	if at == nil {
		t.Fatalf("the banner names no metrics:\n%s", l.banner)
	}
	return at[1]
}

func fetched(t *testing.T, url string) (string, int) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), resp.StatusCode
}

// TestMetrics asks a resolver and reads what it counted.
func TestMetrics(t *testing.T) {
	l := startLabWith(t, "metrics: {listen: ['127.0.0.1:0']}\nsources: [{id: feed-a, location: /nowhere/feed.txt, kinds: [c2]}]\n")
	for range 3 {
		ask(t, l.filtered[0], "c2.evil.test")
		ask(t, l.unfiltered[0], "www.shop.test", "--tcp")
	}
	for name, least := range map[string]float64{
		`shoji_filtered_answers_total{view="filtered"}`:                         3,
		`shoji_queries_total{outcome="hit",transport="udp",view="filtered"}`:    3,
		`shoji_queries_total{outcome="miss",transport="tcp",view="unfiltered"}`: 1,
		`shoji_queries_total{outcome="hit",transport="tcp",view="unfiltered"}`:  2,
		`shoji_connections_total{transport="tcp",view="unfiltered"}`:            3,
		"shoji_ready": 1, "shoji_cache_entries": 1, "shoji_upstream_queries_total": 1, "shoji_list_listings": 3, "shoji_list_time_seconds": 1e9,
	} {
		if v := metric(t, l, name); v < least {
			t.Errorf("%s is %v, less than %v", name, v, least)
		}
	}
	for range 10_000 { // the source is read when both views answer
		if text, _ := fetched(t, metricsAt(t, l)); strings.Contains(text, `shoji_source_failures{source="feed-a"} 1`) {
			break
		}
	}
	if v := metric(t, l, `shoji_source_failures{source="feed-a"}`); v != 1 {
		t.Errorf("a source that fails has failed %v times", v)
	}
	if text, _ := fetched(t, metricsAt(t, l)); strings.Contains(text, "shoji_follow") || strings.Contains(text, "127.0.0.1") || strings.Contains(text, "evil") {
		t.Errorf("it tells what it must not:\n%s", text)
	}
}

// TestMetricsOfNode reads a node before its first list, with it, and after a fork.
func TestMetricsOfNode(t *testing.T) {
	l := forger.New(1)
	l.Add(forger.Listing("c2.evil.test"))
	l.Epoch()
	l.SetDown(true)
	web := httptest.NewServer(l)
	defer web.Close()
	node := startBare(t, fmt.Sprintf("reporting: {level: error}\nmetrics: {listen: ['127.0.0.1:0']}\nfollow: [{log: %q, key: %q, every: 1s}]\n", web.URL, l.VKey))
	health := strings.TrimSuffix(metricsAt(t, node), "metrics") + "health"
	if text, status := fetched(t, health); status != http.StatusServiceUnavailable || !strings.Contains(text, "no list") {
		t.Errorf("health before the first list: %d: %s", status, text)
	}
	if metric(t, node, "shoji_ready") != 0 || metric(t, node, ofLog("shoji_follow_alarm", "")) != 0 {
		t.Error("ready, or alarmed, before the first list")
	}
	l.SetDown(false)
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	if text, status := fetched(t, health); status != http.StatusOK {
		t.Errorf("health with a list: %d: %s", status, text)
	}
	if v := metric(t, node, ofLog("shoji_follow_state", `,state="current"`)); v != 1 {
		t.Errorf("it is current: %v", v)
	}
	fork := l.Twin(1)
	fork.Add(forger.Listing("other.example"))
	for _, path := range []string{"checkpoint", "tile/0/000.p/2", "tile/entries/000.p/2"} {
		b, err := fork.Read(t.Context(), path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		l.SetFile(path, b)
	}
	for range 20_000 {
		if text, _ := fetched(t, metricsAt(t, node)); strings.Contains(text, ofLog("shoji_follow_state", `,state="forked"`)+" 1") {
			break
		}
	}
	if metric(t, node, ofLog("shoji_follow_alarm", "")) != 1 || metric(t, node, ofLog("shoji_follow_forks", "")) != 1 || metric(t, node, "shoji_ready") != 1 {
		t.Error("a fork raises no alarm, or the list is gone")
	}
}
