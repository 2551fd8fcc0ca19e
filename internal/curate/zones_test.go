package curate

import (
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
)

// zones makes a newsroom of policy zones: first and second, in this order, and a plain list.
func zones(t *testing.T) *newsroom {
	n := news(t)
	n.sources = nil
	for _, id := range []string{"first", "second"} {
		n.sources = append(n.sources, Source{ID: id, Location: "https://" + id + ".example/list", Format: feed.RPZ, Kinds: []string{policy.C2}, Interval: MinInterval})
	}
	n.sources = append(n.sources, Source{ID: "plain", Location: "https://plain.example/list", Format: feed.Plain, Kinds: []string{policy.C2}, Interval: MinInterval})
	n.texts = map[string]string{
		"first":  "one.example CNAME .\n*.evil.pages.example CNAME .\nthree.example CNAME rpz-passthru.\n32.1.2.0.192.rpz-client-ip CNAME .\n",
		"second": "one.example CNAME .\ntwo.example CNAME .\nthree.example CNAME .\n*.evil.pages.example CNAME .\nx.evil.pages.example CNAME rpz-passthru.\n",
		"plain":  lines("two.example", "three.example", "*.evil.pages.example"),
	}
	return n
}

// Policy zones are sources like others, but for their order: what one lets pass no later one
// accuses; what another kind of source says of it counts.
func TestZonesHaveAnOrder(t *testing.T) {
	n := zones(t)
	rep := n.update(UpdateOptions{})
	n.listed("one.example", "two.example", "evil.pages.example", "x.evil.pages.example")
	if rep.Overruled != 1 {
		t.Errorf("overruled: %+v", rep)
	}
	at := slices.IndexFunc(rep.Sources, func(s SourceReport) bool { return s.ID == "first" })
	if s := rep.Sources[at]; s.Passes != 1 || s.Skipped[feed.SkipTrigger] != 1 || !slices.Equal(s.NotTaken, []string{"32.1.2.0.192.rpz-client-ip"}) {
		t.Errorf("first: %+v", s)
	}
	if s := rep.Sources[at+1]; s.Passes != 1 || s.Overruled != 1 {
		t.Errorf("second: %+v", s)
	}
	known, err := OpenState(t.Context(), n.dir, n.store, guard(t), n.sources)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := ParseAsked("three.example")
	if x, err := known.Explain(t.Context(), s, n.now); err != nil || x.Filtered || x.Overruled != 1 || len(x.Evidence) != 1 {
		t.Errorf("%+v, %v", x, err)
	}
	known.Close()
	n.texts["first"] = strings.Replace(n.texts["first"], "three.example CNAME rpz-passthru.", "two.example CNAME rpz-passthru.", 1)
	n.update(UpdateOptions{}) // one exception begins and another ends, with nothing else changed
	n.listed("one.example", "three.example", "evil.pages.example", "x.evil.pages.example")
	slices.Reverse(n.sources[:2])
	n.update(UpdateOptions{}) // the order is another one, and what second lets pass is against first
	n.listed("one.example", "two.example", "three.example")
}
