package metrics

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// full is a Reading in which every field tells something.
func full() Reading {
	at := time.Unix(1_800_000_000, 0)
	return Reading{
		Version: "v1",
		Sockets: []Sockets{
			{View: "filtered", Transport: "udp", Outcomes: []Outcome{{"hit", 1}, {"miss", 2}}, Unsent: 3},
			{View: "unfiltered", Transport: "tcp", Outcomes: []Outcome{{"hit", 4}}, Conns: 5, NoPlace: 6},
		},
		Views:   []View{{"filtered", 7}},
		Cache:   Cache{8, 9, 10, 11},
		Resolve: Resolve{12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24},
		List:    List{25, 26, 27, at},
		Sources: []Source{{"feed-a", 28, 29, at}, {"feed-b", 0, 0, time.Time{}}},
		Held:    true,
		Follow: []Follow{
			{Log: "one.example", Kind: "forked", Kinds: []string{"current", "forked"}, Alarm: true, Size: 30, Seen: at, Forks: 31, Fails: 32, Listings: 33, Time: at},
			{Log: "two.example", Kind: "current", Kinds: []string{"current", "forked"}, Size: 34},
		},
	}
}

func scrape(t *testing.T, r Reading, path string) (string, *http.Response) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(func(context.Context) Reading { return r }).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), w.Result()
}

// Everything of a Reading is told, in the format that Prometheus reads.
func TestEverythingIsTold(t *testing.T) {
	text, resp := scrape(t, full(), "/metrics")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%s, %v", resp.Status, resp.Header)
	}
	for _, want := range []string{
		`shoji_build_info{version="v1"} 1`, `shoji_ready 1`,
		`shoji_queries_total{outcome="hit",transport="udp",view="filtered"} 1`, `shoji_queries_total{outcome="miss",transport="udp",view="filtered"} 2`,
		`shoji_queries_total{outcome="hit",transport="tcp",view="unfiltered"} 4`, `shoji_replies_unsent_total{transport="udp",view="filtered"} 3`,
		`shoji_connections_total{transport="tcp",view="unfiltered"} 5`, `shoji_connections_refused_total{transport="tcp",view="unfiltered"} 6`,
		`shoji_filtered_answers_total{view="filtered"} 7`, `shoji_cache_bytes 8`, `shoji_cache_entries 9`, `shoji_cache_puts_total 10`, `shoji_cache_evicted_total 11`,
		`shoji_resolutions_total 12`, `shoji_upstream_queries_total 13`, `shoji_dnssec_verifications_total 14`, `shoji_dnssec_failures_total 15`,
		`shoji_nsec3_hashes_total 16`, `shoji_synthesised_total 17`, `shoji_refreshes_total 18`, `shoji_refreshes_dropped_total 19`,
		`shoji_table_entries{table="zones"} 20`, `shoji_table_entries{table="servers"} 21`, `shoji_table_entries{table="trusts"} 22`, `shoji_table_entries{table="failures"} 23`, `shoji_table_entries{table="open"} 24`,
		`shoji_list_listings 25`, `shoji_list_bytes 26`, `shoji_list_log_entries 27`, `shoji_list_time_seconds 1.8e+09`,
		`shoji_source_failures{source="feed-a"} 28`, `shoji_source_claims{source="feed-a"} 29`, `shoji_source_read_seconds{source="feed-a"} 1.8e+09`, `shoji_source_claims{source="feed-b"} 0`,
		`shoji_list_change_held 1`, `shoji_follow_state{log="one.example",state="forked"} 1`, `shoji_follow_state{log="one.example",state="current"} 0`, `shoji_follow_alarm{log="one.example"} 1`,
		`shoji_follow_forks{log="one.example"} 31`, `shoji_follow_log_entries{log="one.example"} 30`, `shoji_follow_failures_total{log="one.example"} 32`,
		`shoji_follow_seen_seconds{log="one.example"} 1.8e+09`, `shoji_follow_listings{log="one.example"} 33`, `shoji_follow_list_time_seconds{log="one.example"} 1.8e+09`,
		`shoji_follow_state{log="two.example",state="current"} 1`, `shoji_follow_alarm{log="two.example"} 0`, `shoji_follow_log_entries{log="two.example"} 34`,
		"go_goroutines ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, `source_read_seconds{source="feed-b"}`) {
		t.Error("a source that was never read has a time")
	}
	if text, _ := scrape(t, Reading{}, "/metrics"); strings.Contains(text, "shoji_follow") || strings.Contains(text, "shoji_list_time") {
		t.Errorf("of what is not there: %s", text)
	}
}

// Labels are those of the operator's own configuration and of this program: none is a
// client's, or a name's that was asked for.
func TestLabelsAreKnown(t *testing.T) {
	text, _ := scrape(t, full(), "/metrics")
	known := []string{"version", "view", "transport", "outcome", "table", "source", "log", "state", "quantile"}
	for _, m := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("a label %s", m[1])
		}
	}
}

// Health is what a load balancer asks.
func TestHealth(t *testing.T) {
	if text, resp := scrape(t, full(), "/health"); resp.StatusCode != http.StatusOK || text != "ready\n" {
		t.Errorf("%s: %s", resp.Status, text)
	}
	if text, resp := scrape(t, Reading{Unready: "no list yet"}, "/health"); resp.StatusCode != http.StatusServiceUnavailable || text != "no list yet\n" {
		t.Errorf("%s: %s", resp.Status, text)
	}
	if _, resp := scrape(t, full(), "/debug/pprof/"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/debug/pprof/: %s", resp.Status)
	}
}

// A server answers over its socket, ends with its context, and has one registry a server.
func TestServe(t *testing.T) {
	for range 2 {
		s, err := Listen(Config{Listen: "127.0.0.1:0", Read: func(context.Context) Reading { return full() }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx) }()
		resp, err := http.Get(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(b), "shoji_ready 1") {
			t.Errorf("%s: %v", resp.Status, err)
		}
		resp.Body.Close()
		if resp, err := http.Post(s.URL(), "text/plain", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST: %v, %v", resp, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.Close()
	}
}
