package curate

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// hear hears an appeal about text, and rules as said.
func (n *newsroom) hear(text string, rule func(*Hearing) *Ruling) *Hearing {
	n.t.Helper()
	s, err := ParseAsked(text)
	if err != nil {
		n.t.Fatal(err)
	}
	var out *Hearing
	err = n.loop().Hear(n.t.Context(), s, func(h *Hearing) (*Ruling, error) {
		out = h
		return rule(h), nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

func nothing(*Hearing) *Ruling { return nil }

// ends rules that what the policy decided comes into force, as a case.
func ends(h *Hearing) *Ruling {
	received := &ledger.Entry{Kind: ledger.KindCase, Time: h.Now, Case: "case-1", Status: ledger.CaseReceived}
	after := &ledger.Entry{Kind: ledger.KindCase, Time: h.Now, Case: "case-1", Status: ledger.CaseDelisted}
	return &Ruling{Case: "case-1", Before: []*ledger.Entry{received}, End: true, After: []*ledger.Entry{after}}
}

// log is the log's entries from number first on, one line each.
func (n *newsroom) log(first uint64) (out []string) {
	n.t.Helper()
	w := open(n.t, n.dir)
	defer w.Close()
	err := ledger.Walk(n.t.Context(), w.log.Source(), w.tail.Checkpoint(), first, w.Size(), func(_ uint64, e *ledger.Entry, _ []byte) error {
		out = append(out, strings.Join(strings.Fields(string(e.Kind)+" "+e.Name+" "+prefixText(e.Prefix)+" "+e.Cause+" "+e.Clause+" "+e.Case+" "+e.Status), " "))
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

func (n *newsroom) size() uint64 {
	w := open(n.t, n.dir)
	defer w.Close()
	return w.Size()
}

// A source says it no longer: without an appeal its word counts until it is stale, with one
// the listing ends at once, and the loop does not bring it back until somebody says so again.
func TestAnAppealThatThePolicyGrants(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example", "two.example"), lines("one.example", "two.example")
	n.update(UpdateOptions{})
	n.listed("one.example", "two.example")
	n.now = n.now.Add(2 * time.Hour)
	n.texts["b"] = lines("two.example")
	n.update(UpdateOptions{})
	n.listed("one.example", "two.example")
	size := n.size()
	if h := n.hear("two.example", nothing); !h.Stays() || h.Clause != "c2-two-sources" || h.People != 1 || len(h.Evidence) != 2 {
		t.Errorf("%+v", h)
	}
	h := n.hear("one.example", ends)
	if h.Stays() || !h.Listed || h.Clause != "thin" || h.Outcome != policy.Spare || h.Listing.Clause != "c2-two-sources" {
		t.Errorf("%+v", h)
	}
	n.listed("two.example")
	want := []string{"case case-1 received", "delist one.example appeal thin case-1", "case case-1 delisted", "epoch"}
	if got := n.log(size); !slices.Equal(got, want) {
		t.Errorf("the log says %q, not %q", got, want)
	}
	if h := n.hear("one.example", nothing); h.Listed || h.Stays() || h.Listing != nil {
		t.Errorf("%+v", h)
	}
	for range 2 {
		n.now = n.now.Add(25 * time.Hour) // everything is decided anew
		n.update(UpdateOptions{})
		n.listed("two.example")
	}
	n.texts["b"] = lines("one.example", "two.example")
	n.now = n.now.Add(2 * time.Hour)
	n.update(UpdateOptions{})
	n.listed("one.example", "two.example")
}

// Sources that accuse are read anew for an appeal, unless they were read just before.
func TestAnAppealReadsSourcesAnew(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	n.update(UpdateOptions{})
	n.texts["b"] = lines("other.example")
	if h := n.hear("one.example", nothing); !h.Stays() {
		t.Error("a source was read twice within five minutes")
	}
	n.now = n.now.Add(6 * time.Minute)
	if h := n.hear("one.example", nothing); h.Stays() {
		t.Error("a source was not read anew")
	}
	n.texts["b"] = lines("one.example")
	n.now = n.now.Add(6 * time.Minute)
	n.texts["a"] = "" // it fails
	if h := n.hear("www.one.example", nothing); h.Listed {
		t.Error("a name below one that is listed alone is filtered")
	}
	n.update(UpdateOptions{})
	if h := n.hear("one.example", nothing); !h.Stays() {
		t.Error("a source that fails has unsaid what it said")
	}
}

// Without standing accusations alone in the policy, an appeal changes nothing by itself.
func TestAPolicyThatHeedsWhatIsNoLongerSaid(t *testing.T) {
	n := news(t)
	p, err := policy.Parse([]byte(strings.Replace(string(n.policy.Document), "standing: true", "standing: false", 1)))
	if err != nil {
		t.Fatal(err)
	}
	n.policy = p
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	n.update(UpdateOptions{})
	n.texts["b"] = lines("other.example")
	n.now = n.now.Add(time.Hour)
	if h := n.hear("one.example", nothing); !h.Stays() {
		t.Errorf("%+v", h)
	}
}

// What a person decides is evidence: a listing that he ends stays off whatever sources say, and
// one that he confirms stays.
func TestAPersonDecidesAnAppeal(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("*.one.example", "two.example"), lines("*.one.example", "two.example")
	n.update(UpdateOptions{})
	n.listed("one.example", "www.one.example", "two.example")
	s, _ := ParseAsked("www.one.example")
	err := n.loop().Hear(t.Context(), s, func(h *Hearing) (*Ruling, error) { return ends(h), nil })
	if err == nil || !strings.Contains(err.Error(), "*.one.example: the policy lists it by clause c2-two-sources even so") {
		t.Errorf("a listing ended that the policy has: %v", err)
	}
	broken := errors.New("broken")
	if err := n.loop().Hear(t.Context(), s, func(*Hearing) (*Ruling, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	size := n.size()
	n.hear("www.one.example", func(h *Hearing) *Ruling {
		if h.Subject() != "*.one.example" {
			t.Errorf("%s filters it", h.Subject())
		}
		r := ends(h)
		r.End, r.Granted, r.Note = false, true, "It was cleaned."
		return r
	})
	n.hear("two.example", func(*Hearing) *Ruling { return &Ruling{Upheld: true} })
	n.listed("two.example")
	want := []string{"case case-1 received", "delist one.example appeal appeal-granted case-1", "case case-1 delisted", "epoch"}
	if got := n.log(size); !slices.Equal(got, want) {
		t.Errorf("the log says %q, not %q", got, want)
	}
	n.now = n.now.Add(26 * time.Hour)
	n.update(UpdateOptions{})
	n.listed("two.example")
	a, err := n.store.One(t.Context(), "two.example")
	if err != nil || !slices.ContainsFunc(a.Evidence, func(e evidence.Evidence) bool { return e.Kind == policy.Confirmed && e.Reference == "c2-two-sources" }) {
		t.Errorf("%+v, %v", a, err)
	}
}

// A prefix, and what a person has imported: his choice stands until a person ends it.
func TestAnAppealAgainstAnImport(t *testing.T) {
	n := news(t)
	n.update(UpdateOptions{})
	w, err := Open(t.Context(), Config{Dir: n.dir, Guard: guard(t), Policy: n.policy, Evidence: n.store, Now: func() time.Time { return n.now }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Import(t.Context(), []File{text("f", "192.0.2.0/24\n*.two.example\n")}, claim, false)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	for asked, subject := range map[string]string{"192.0.2.9": "192.0.2.0/24", "a.b.two.example": "*.two.example"} {
		h := n.hear(asked, nothing)
		if !h.Stays() || h.Clause != "chosen" || h.Subject() != subject {
			t.Errorf("%s: %+v", asked, h)
		}
		n.hear(asked, func(h *Hearing) *Ruling { return &Ruling{Granted: true, Note: "No."} })
		if h := n.hear(asked, nothing); h.Listed {
			t.Errorf("%s: %+v", asked, h)
		}
	}
	if h := n.hear("198.51.100.1", nothing); h.Listed {
		t.Errorf("%+v", h)
	}
}

// A name that is listed by itself and with its subtree: an appeal about the one is not about the other.
func TestAnAppealAgainstASubtreeAndItsName(t *testing.T) {
	n := news(t)
	n.update(UpdateOptions{})
	w, err := Open(t.Context(), Config{Dir: n.dir, Guard: guard(t), Policy: n.policy, Evidence: n.store, Now: func() time.Time { return n.now }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Import(t.Context(), []File{text("f", "two.example\n*.two.example\n")}, claim, false)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{"two.example": "two.example", "*.two.example": "*.two.example", "www.two.example": "*.two.example"} {
		s, err := ParseSubject(asked)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.loop().Hear(t.Context(), s, func(h *Hearing) (*Ruling, error) {
			if h.Subject() != want {
				t.Errorf("%s is filtered by %s, not %s", asked, h.Subject(), want)
			}
			return nil, nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// Evidence that is longer than an entry of the log keeps nobody from being heard.
func TestAnAppealAgainstLongEvidence(t *testing.T) {
	n := news(t)
	n.update(UpdateOptions{})
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	n.now = n.now.Add(time.Hour)
	n.update(UpdateOptions{})
	n.listed("one.example")
	var long []evidence.Claim
	for _, kind := range policy.Kinds() {
		if kind != policy.AppealGranted && kind != policy.Confirmed && kind != policy.Canary {
			c := ruling(Subject{Name: dns.MustName("one.example")}, kind, strings.Repeat("a", ledger.MaxText))
			c.Family = strings.Repeat("b", ledger.MaxText)
			long = append(long, c)
		}
	}
	if err := n.store.Say(t.Context(), SourceOperator, n.now, long); err != nil {
		t.Fatal(err)
	}
	h := n.hear("one.example", func(h *Hearing) *Ruling {
		e := &ledger.Entry{Kind: ledger.KindCase, Time: h.Now, Case: "case-1", Status: ledger.CaseReceived, Evidence: h.Evidence}
		if _, err := e.Marshal(); err == nil {
			t.Error("the evidence fits; the test shows nothing")
		}
		r := ends(h)
		r.Before, r.End = []*ledger.Entry{e}, !h.Stays()
		return r
	})
	if !h.Listed {
		t.Errorf("%+v", h)
	}
}
