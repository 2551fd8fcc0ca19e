package appeal

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/ledger"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func listing() *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindList, Time: start.AddDate(0, -1, 0), Scope: ledger.ScopeSubtree, Name: "mistaken.example", Clause: "c2-two-sources",
		Policy: ledger.Digest{1}, Evidence: []ledger.Evidence{{Source: "feed-a", Kind: "c2"}},
	}
}

var judged = Judgement{Clause: "c2-two-sources", Policy: ledger.Digest{1}, Evidence: []ledger.Evidence{{Source: "feed-a", Kind: "c2"}}}

// step makes each of the steps that there are.
func step(c *Case, status string, at time.Time) *ledger.Entry {
	switch status {
	case ledger.CaseReceived:
		return Receive("case-1", 17, listing(), "cleaned", at)
	case ledger.CaseReferred:
		return c.Refer(judged, at)
	case ledger.CaseDelisted:
		return c.Delist(judged, "", at)
	case ledger.CaseUpheld:
		return c.Uphold(judged, "The sample still calls it.", at)
	}
	return c.Withdraw(at)
}

// Whatever is tried in whatever order, a case takes only steps of its life, ends once, and
// its entries alone, read back from the log, add up to it.
func TestEveryLifeIsOneOfTheLives(t *testing.T) {
	statuses := []string{ledger.CaseReceived, ledger.CaseReferred, ledger.CaseDelisted, ledger.CaseUpheld, ledger.CaseWithdrawn}
	lives := []string{
		"", "received", "received referred", "received delisted", "received withdrawn",
		"received referred upheld", "received referred delisted", "received referred withdrawn",
	}
	rapid.Check(t, func(t *rapid.T) {
		var c, again Case
		life := ""
		at := start
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, "seconds")) * time.Second)
			before := c
			e := step(&c, rapid.SampledFrom(statuses).Draw(t, "status"), at)
			if rapid.IntRange(0, 9).Draw(t, "another") == 0 {
				e.Case = "case-2"
			}
			if err := c.Apply(e); err != nil {
				if fmt.Sprint(c) != fmt.Sprint(before) {
					t.Fatalf("a step that was refused changed the case: %v", err)
				}
				continue
			}
			life += map[bool]string{true: " "}[life != ""] + e.Status
			b, err := e.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			read, err := ledger.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Apply(read); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Contains(lives, life) {
			t.Fatalf("a life of its own: %s", life)
		}
		if fmt.Sprint(c) != fmt.Sprint(again) {
			t.Fatalf("its entries add up to\n%+v, not\n%+v", again, c)
		}
		if c.Open() == c.Ended.IsZero() == (life == "") || !c.Ended.IsZero() && c.Ended.Before(c.Received) || !c.Referred.IsZero() && c.Referred.Before(c.Received) {
			t.Fatalf("times: %+v", c)
		}
	})
}

func TestWhatACaseIsAbout(t *testing.T) {
	var c Case
	if err := c.Apply(step(&c, ledger.CaseReceived, start)); err != nil {
		t.Fatal(err)
	}
	if c.ID != "case-1" || c.Subject() != "*.mistaken.example" || c.Listing != 17 || c.Cause != "cleaned" || !c.Open() {
		t.Errorf("%+v", c)
	}
	if err := c.Apply(listing()); err == nil {
		t.Error("a listing was taken for a step")
	}
	if err := c.Apply(step(&c, ledger.CaseReferred, start.Add(time.Second))); err != nil || c.Clause != "c2-two-sources" || len(c.Evidence) != 1 {
		t.Errorf("%v: %+v", err, c)
	}
	if err := c.Apply(c.Delist(judged, "It was cleaned.", start.Add(time.Hour))); err != nil || !c.ByPeople() || c.Open() {
		t.Errorf("%v: %+v", err, c)
	}
	if got := SpansOf([]Case{c, {}, {Received: start, Ended: start.Add(time.Minute)}}); got.Within(0.5) != time.Hour || got.Within(0) != time.Minute || got.Within(1) != time.Hour || Spans(nil).Within(0.5) != 0 {
		t.Errorf("%v", got)
	}
}

// A verdict has as many different members behind it as the policy asks for, with what each
// said last; and it is found where it has them.
func TestVotes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		people := rapid.IntRange(0, 5).Draw(t, "people")
		var votes []Vote
		last := map[string]string{}
		for i := range rapid.IntRange(0, 10).Draw(t, "votes") {
			v := Vote{Member: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "member"), Verdict: rapid.SampledFrom(Verdicts()).Draw(t, "verdict"), Reason: fmt.Sprint(i)}
			votes, last[v.Member] = append(votes, v), v.Verdict
		}
		agree := map[string]int{}
		for _, v := range last {
			agree[v]++
		}
		verdict, reason, decided := Tally(votes, people)
		enough := agree[ledger.CaseDelisted] >= max(people, 1) || agree[ledger.CaseUpheld] >= max(people, 1)
		if decided != enough || decided && (agree[verdict] < max(people, 1) || reason == "") {
			t.Fatalf("%v of %d: %q %q %v", votes, people, verdict, reason, decided)
		}
	})
}
