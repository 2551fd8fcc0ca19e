package serve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/sde"
)

// Where lists of several logs are joined, an answer says whose entry it names, by the name that was
// asked, an alias or an address, and from memory as when it is learned.
func TestFilteredBySeveralLogs(t *testing.T) {
	v := newViews(t)
	v.zone(world)
	longest := strings.Repeat("x", citation.MaxLog)
	v.rebuild(func(cfg *Config) { cfg.Logs = []string{"one.example", longest} })
	v.live.Swap(filter.Join(listOf(t, "exact.shop.example"), listOf(t, "other.example", "www.shop.example", "*.evil.example", "203.0.113.0/24")))
	tm, err := sde.NewTemplate(sde.Detail{SubError: sde.Malware}, "one.example", longest)
	if err != nil {
		t.Fatal(err)
	}
	v.filtered.cfg.Structured.Store(tm)
	for question, want := range map[string]string{
		"exact.shop.example": "0 of one.example", "www.shop.example": "1 of " + longest, "c2.evil.example": "2 of " + longest,
		"cdn.shop.example": "2 of " + longest, "far.shop.example": "3 of " + longest,
	} {
		for range 2 { // as it is learned, and from memory
			expect(t, v.filtered, question+" A edns", fmt.Sprintf("NOERROR\n%s. 10 IN A 198.51.100.1\nEDNS 1232, Forged Answer: log entry %s", question, want))
		}
		number, of, _ := strings.Cut(want, " of ")
		if got := show(t, ask(t, v.filtered, question+" A sde")); !strings.HasSuffix(got, fmt.Sprintf(`Blocked: {"s":1,"fdbs":[{"db":"%s","id":"%s"}]}`, of, number)) {
			t.Errorf("%s: %s", question, got)
		}
	}
	q, out := parse(t, "c2.evil.example A edns"), make([]byte, 0, 1232)
	if n := testing.AllocsPerRun(100, func() { v.filtered.Hit(q, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	v.live.Swap(filter.Join(listOf(t, "exact.shop.example"), nil)) // one log's list ends, the other's stays
	expect(t, v.filtered, "exact.shop.example A edns", "NOERROR\nexact.shop.example. 10 IN A 198.51.100.1\nEDNS 1232, Forged Answer: log entry 0 of one.example")
	if got := show(t, ask(t, v.filtered, "www.shop.example A edns")); strings.Contains(got, "log entry") {
		t.Errorf("what no list has any more: %s", got)
	}
}

// The resolver tells of all logs, the first as it does of one alone.
func TestInformationOfSeveralLogs(t *testing.T) {
	data, err := (&Information{Logs: []string{"https://one.example/", "https://two.example/"}}).data()
	if err != nil || !strings.Contains(string(data), "\x1dtemp-log=https://one.example/\x1ftemp-log-2=https://two.example/") {
		t.Errorf("%q, %v", data, err)
	}
}
