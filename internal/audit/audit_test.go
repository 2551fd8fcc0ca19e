package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/forks"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// An honest log is verified, and what is new of it by what is known of the rest.
func TestHonest(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	r := c.audit(o)
	found(t, r, Verified, "")
	if r.Size != 5 || r.Before != 0 || r.Seen != 0 || r.Epoch.Entry != 4 || r.Epoch.Count != 3 {
		t.Errorf("%+v", r)
	}
	o.add(o.hosts(600)...)
	appeal := o.delist("a.example")
	appeal.Case = "case-1"
	o.add(o.receive("case-1", 1, "a.example"), appeal, o.step("case-1", "delisted"))
	o.epoch()
	o.add(o.receive("case-2", 2, "b.example"))
	fresh := newCustomer(t)
	fresh.now = morning.Add(time.Hour)
	for _, c := range []*customer{fresh, c} {
		r := c.audit(o)
		found(t, r, Verified, "")
		listings, lists := r.Checks[4], r.Checks[8]
		if r.Size != 610 || listings.Checked != 603 || lists.Checked != 2 || r.Cases != 1 || r.Waiting == nil || r.Epoch.Count != 602 {
			t.Errorf("%+v, %+v, %+v", r, listings, lists)
		}
	}
	o.reads.Store(0)
	if r := c.audit(o); r.Before != 608 || r.Seen != 2 || o.reads.Load() > 20 {
		t.Errorf("the third run: %+v with %d reads", r, o.reads.Load())
	}
	// What is kept of the last run may be lost or damaged: the run begins anew.
	kept, err := filepath.Glob(filepath.Join(c.dir, "log-*", "list-*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%v, %v", kept, err)
	}
	if err := os.WriteFile(kept[0], []byte("no list"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := c.audit(o); r.Verdict != Verified || r.Before != 0 || r.Checks[4].Checked != 603 {
		t.Errorf("after damage here: %+v", r)
	}
}

// An operator lists names that his own policy does not list, in every way there is.
func TestListedAgainstThePolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		forge func(o *operator, e *ledger.Entry)
		want  string
	}{
		"one source where two are needed": {func(o *operator, e *ledger.Entry) { e.Evidence = e.Evidence[:1] }, NotListed},
		"stale evidence": {func(o *operator, e *ledger.Entry) {
			for i := range e.Evidence {
				e.Evidence[i].First, e.Evidence[i].Last = morning.AddDate(-2, 0, 0), morning.AddDate(-1, 0, 0)
			}
		}, NotListed},
		"evidence of something else":  {func(o *operator, e *ledger.Entry) { e.Evidence[1].Kind = policy.Phishing }, NotListed},
		"a clause that spares":        {func(o *operator, e *ledger.Entry) { e.Clause = "thin" }, OtherClause},
		"a clause that does not hold": {func(o *operator, e *ledger.Entry) { e.Clause = "canary" }, OtherClause},
		"a clause that is none":       {func(o *operator, e *ledger.Entry) { e.Clause = "because" }, NoClause},
		"another policy":              {func(o *operator, e *ledger.Entry) { e.Policy[0] ^= 1 }, OtherPolicy},
		"a top-level domain":          {func(o *operator, e *ledger.Entry) { e.Name = "example" }, NotListed},
		"more than the clause lists": {func(o *operator, e *ledger.Entry) {
			e.Scope, e.Clause = ledger.ScopeSubtree, "c2-host"
			e.Evidence = append(e.Evidence, ledger.Evidence{Source: "public-suffix-list", Kind: policy.BelowSharedApex, Reference: "pages.example"})
		}, OtherScope},
		"two names of one source": {func(o *operator, e *ledger.Entry) {
			o.add(&ledger.Entry{Kind: ledger.KindSource, Time: o.at(), Source: "feed-b", Group: "feed-a", Claims: []string{"c2"}, Status: "active"})
		}, NotListed},
		"a person's rejection is left out of account": {func(o *operator, e *ledger.Entry) {
			e.Evidence = append(e.Evidence, ledger.Evidence{Source: "operator", Kind: policy.AppealGranted, Last: morning})
		}, NotListed},
	} {
		t.Run(name, func(t *testing.T) {
			o := honest(t)
			e := o.list("victim.example")
			tc.forge(o, e)
			o.add(e)
			o.epoch()
			at := len(o.raw) - 2
			c := newCustomer(t)
			for range 2 { // a fault is not forgotten
				found(t, c.audit(o), Fault, fmt.Sprintf("listings: %s %d", tc.want, at))
			}
		})
	}
	o := newOperator(t)
	o.add(o.list("victim.example"))
	o.epoch()
	found(t, newCustomer(t).audit(o), Fault, "listings: no-policy 0")
}

// A name is filtered that no entry lists: the list is not what the log adds up to.
func TestListHoldsMoreThanTheLog(t *testing.T) {
	o := honest(t)
	more := o.twin()
	more.add(more.list("victim.example"))
	e := more.epochEntry()
	e.Size = o.epochEntry().Size
	o.add(e)
	found(t, newCustomer(t).audit(o), Fault, "lists: wrong-list 5")
	for _, forge := range []func(e *ledger.Entry){
		func(e *ledger.Entry) { e.Count++ }, func(e *ledger.Entry) { e.Bytes-- }, func(e *ledger.Entry) { e.Digest[31] ^= 1 },
		func(e *ledger.Entry) { e.Size-- }, // the list of another beginning of the log
	} {
		o := honest(t)
		o.add(o.list("d.example"))
		e := o.epochEntry()
		forge(e)
		o.add(e)
		found(t, newCustomer(t).audit(o), Fault, "lists: wrong-list 6")
		// That a right one follows does not mend it.
		o.add(o.list("e.example"))
		o.epoch()
		found(t, newCustomer(t).audit(o), Fault, "lists: wrong-list 6")
	}
}

// An epoch in the middle of the log is of fewer entries than stand before it. Honest writers
// come to that; whoever hides a list there is found.
func TestEarlierListOfFewerEntries(t *testing.T) {
	build := func(forge bool, o *operator) {
		o.add(o.list("d.example"))
		e := o.epochEntry()
		if forge {
			more := o.twin()
			more.replace(len(more.raw)-1, more.list("victim.example"))
			e = more.epochEntry()
		}
		o.add(o.list("late.example"), e) // of the entries before the last
		o.add(o.list("e.example"))
		o.epoch()
	}
	for _, every := range []bool{false, true} {
		o, c := honest(t), newCustomer(t)
		c.everyList = every
		build(false, o)
		for range 2 {
			r := c.audit(o)
			found(t, r, Verified, "")
			if l := r.Checks[len(r.Checks)-1]; l.Checked != 3 || l.Left != 0 {
				t.Errorf("%+v", l)
			}
		}
		build(false, o) // on a base that is remembered
		found(t, c.audit(o), Verified, "")
		build(true, o)
		found(t, c.audit(o), Fault, "lists: wrong-list 17")

		o = honest(t)
		o.add(o.list("d.example"))
		more := o.twin()
		more.replace(len(more.raw)-1, more.list("victim.example"))
		e := more.epochEntry()
		e.Size-- // the same list, said to be of a beginning
		o.add(e, o.list("e.example"))
		o.epoch()
		c = newCustomer(t)
		c.everyList = every
		found(t, c.audit(o), Fault, "lists: wrong-list 6")
	}
}

// twoFaced serves another log's bundles and tiles from one read to another.
type twoFaced struct {
	*operator
	lie      *operator
	n        int
	from, to int
}

func (s *twoFaced) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	s.n++
	if s.from < s.n && s.n <= s.to && path != ledger.CheckpointPath {
		return s.lie.Read(ctx, path, limit)
	}
	return s.operator.Read(ctx, path, limit)
}

// A server that shows other entries whenever they are read again hides no list by that.
func TestEntriesReadAgainAreOthers(t *testing.T) {
	o := honest(t)
	lie := o.twin()
	lie.add(lie.list("victim.example"))
	e := lie.epochEntry()
	o.add(o.list("d.example"), o.list("e.example"), e)
	lie.add(o.list("e.example"), e)
	o.epoch()
	lie.add(o.list("pad.example"))
	s := &twoFaced{operator: o, lie: lie}
	damaged := 0
	for s.from = 0; s.from <= s.n; s.from++ {
		for s.to = s.from; s.to <= s.from+4; s.to++ {
			m, err := OpenMemory(t.TempDir(), o.vkey)
			if err != nil {
				t.Fatal(err)
			}
			s.n = 0
			r, err := Run(t.Context(), Config{Source: s, Key: o.key, Memory: m, Now: morning.Add(time.Hour)})
			if err == nil && r.Verdict == Verified || s.to == s.from && codes(r) != "lists: wrong-list 7" {
				t.Errorf("reads %d to %d: %s %q, %v", s.from, s.to, r.Verdict, codes(r), err)
			}
			if codes(r) == "entries: damaged" {
				damaged++
			}
		}
	}
	t.Log(s.n, "reads,", damaged, "runs found damage")
}

// What a run left out is looked at by the next one that is to rebuild every list.
func TestEveryListAfterARunThatLeftSome(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	o.add(o.list("d.example"))
	o.epoch()
	found(t, c.audit(o), Verified, "")
	c.everyList = true
	if r := c.audit(o); r.Before == 0 {
		t.Error("nothing was left out, and all was read again")
	}
	path, err := filepath.Glob(filepath.Join(c.dir, "log-*", verifiedFile))
	if err != nil || len(path) != 1 {
		t.Fatal(path, err)
	}
	b, err := os.ReadFile(path[0])
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.LastIndex(string(b), `"left":0`)
	if err := os.WriteFile(path[0], []byte(string(b[:cut])+`"left":1`+string(b[cut+len(`"left":0`):])), 0o600); err != nil {
		t.Fatal(err)
	}
	c.everyList = false
	r := c.audit(o)
	if l := r.Checks[len(r.Checks)-1]; l.Left != 1 || r.Before == 0 {
		t.Errorf("%+v", l)
	}
	c.everyList = true
	r = c.audit(o)
	if l := r.Checks[len(r.Checks)-1]; l.Left != 0 || l.Checked != 2 || r.Before != 0 {
		t.Errorf("%+v, %d entries taken as read", l, r.Before)
	}
}

// Look-ups are answered from a map over another list than the one in force; a list without a
// map is none the worse.
func TestMapOfAnotherList(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	more := o.twin()
	more.add(more.list("victim.example"))
	e := o.epochEntry()
	e.Map = more.epochEntry().Map
	o.add(e)
	for range 2 {
		found(t, c.audit(o), Fault, "lists: wrong-map 5")
	}
	o, c = honest(t), newCustomer(t)
	o.add(o.list("d.example"))
	bare := o.epochEntry()
	bare.Map = ledger.Digest{}
	o.add(bare)
	found(t, c.audit(o), Verified, "")
	o.epoch() // of the same list, and mapped
	for range 2 {
		found(t, c.audit(o), Verified, "")
	}
	// The map over the list that is remembered may be there, damaged or gone.
	for _, spoil := range []func(path string) error{
		func(string) error { return nil }, os.Remove, func(path string) error { return os.WriteFile(path, []byte("no map"), 0o600) },
	} {
		kept, err := filepath.Glob(filepath.Join(c.dir, "log-*", mapFile))
		if err != nil || len(kept) != 1 || spoil(kept[0]) != nil {
			t.Fatalf("%v, %v", kept, err)
		}
		o.add(o.list(fmt.Sprintf("host-%d.example", len(o.raw))))
		o.epoch()
		found(t, c.audit(o), Verified, "")
	}
}

// An old entry is another one now.
func TestAlteredEntry(t *testing.T) {
	t.Run("in the copy", func(t *testing.T) {
		o := honest(t)
		path := ledger.BundlePath(0, 5)
		o.files[path] = []byte(strings.Replace(string(o.files[path]), "b.example", "x.example", 1))
		r := newCustomer(t).audit(o)
		found(t, r, Fault, "entries: damaged")
		if !strings.Contains(r.Checks[2].Findings[0].Detail, path) {
			t.Errorf("%+v", r.Checks[2].Findings)
		}
	})
	t.Run("in the copy with its tile", func(t *testing.T) {
		o := honest(t)
		other := o.twin()
		other.replace(2, o.list("x.example"))
		for path, b := range other.files {
			if path != ledger.CheckpointPath {
				o.files[path] = b
			}
		}
		found(t, newCustomer(t).audit(o), Fault, "entries: damaged")
		seen := newCustomer(t)
		found(t, seen.audit(honest(t)), Verified, "")
		found(t, seen.audit(o), Fault, "entries: damaged")
	})
	t.Run("and the log signed again", func(t *testing.T) {
		o, c := honest(t), newCustomer(t)
		c.audit(o)
		other := o.twin()
		other.replace(2, o.list("x.example"))
		r := c.audit(other)
		found(t, r, Fault, "history: fork")
		if r.Kept == "" {
			t.Fatal("no evidence was kept")
		}
		// Whoever has the key can check the evidence: two signed notes of one size.
		var roots []string
		for _, name := range []string{"older", "newer"} {
			raw, err := os.ReadFile(filepath.Join(r.Kept, name))
			if err != nil {
				t.Fatal(err)
			}
			n, err := note.Open(raw, note.VerifierList(o.key))
			if err != nil {
				t.Fatal(err)
			}
			roots = append(roots, n.Text)
		}
		if roots[0] == roots[1] || strings.Split(roots[0], "\n")[1] != strings.Split(roots[1], "\n")[1] {
			t.Errorf("the notes do not contradict each other: %q", roots)
		}
	})
	t.Run("before anyone looked", func(t *testing.T) {
		o := honest(t)
		o.replace(2, o.list("x.example"))
		e := o.twin()
		e.raw = e.raw[:4]
		e.publish()
		o.replace(4, e.epochEntry())
		found(t, newCustomer(t).audit(o), Verified, "") // none can tell: that is what cosignatures and other customers are for
	})
}

// Two customers are shown two logs, which grow on: one who sees both has the proof.
func TestForkThatGrows(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	o.add(o.list("mine.example"))
	o.epoch()
	other := honest(t)
	other.add(other.list("yours.example"))
	other.epoch()
	found(t, c.audit(o), Verified, "")
	found(t, newCustomer(t).audit(other), Verified, "") // by itself each is right
	other.add(other.hosts(300)...)
	r := c.audit(other)
	found(t, r, Fault, "history: fork")
	if err := forks.Check(r.Kept, o.key); err != nil {
		t.Error(err)
	}
	// The log that was seen first is what it was, and yet the other one was signed.
	for range 2 {
		again := c.audit(o)
		found(t, again, Fault, "history: fork")
		if again.Kept != r.Kept {
			t.Errorf("the proof is in %s, want %s", again.Kept, r.Kept)
		}
	}
	o.down = errors.New("away")
	if again, err := c.try(o); err == nil || again.Verdict != Fault {
		t.Errorf("%+v, %v", again, err)
	}
	o.down = nil
	if err := os.RemoveAll(r.Kept); err != nil {
		t.Fatal(err)
	}
	found(t, c.audit(o), Verified, "")
}

// A checkpoint is remembered also where the run finds a fault in what it vouches for.
func TestFaultyLogIsRemembered(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	right := o.twin()
	o.add(o.delist("never.example"))
	found(t, c.audit(o), Fault, "delistings: nothing-ended 5")
	right.add(right.list("d.example"))
	found(t, c.audit(right), Fault, "history: fork")
}

// A customer whose policy takes two of three witnesses believes no log that two of them have
// not seen.
func TestWitnesses(t *testing.T) {
	one, two, three := newWitness("one.example"), newWitness("two.example"), newWitness("three.example")
	policy, err := ledger.ParseWitnessPolicy([]byte(one.line() + two.line() + three.line() + "group most 2 one two three\nquorum most\n"))
	if err != nil {
		t.Fatal(err)
	}
	seen := morning.Add(time.Minute)
	for name, tc := range map[string]struct {
		cosign  func(o *operator)
		verdict string
		want    string
	}{
		"two":        {func(o *operator) { one.cosign(o, seen); three.cosign(o, seen) }, Verified, ""},
		"one":        {func(o *operator) { one.cosign(o, seen) }, Fault, "witnesses: uncosigned"},
		"one, twice": {func(o *operator) { one.cosign(o, seen); one.cosign(o, seen.Add(time.Second)) }, Fault, "witnesses: uncosigned"},
		"strangers": {func(o *operator) {
			newWitness("four.example").cosign(o, seen)
			newWitness("five.example").cosign(o, seen)
		}, Fault, "witnesses: uncosigned"},
		"two, and one in the name of the third": {func(o *operator) {
			one.cosign(o, seen)
			two.cosign(o, seen)
			forged := o.twin()
			forged.add(forged.list("other.example"))
			before := len(forged.files[ledger.CheckpointPath])
			three.cosign(forged, seen)
			o.files[ledger.CheckpointPath] = append(o.files[ledger.CheckpointPath], forged.files[ledger.CheckpointPath][before:]...)
		}, Fault, "witnesses: bad-cosignature"},
		"one of them tomorrow": {func(o *operator) { one.cosign(o, seen); two.cosign(o, seen.AddDate(0, 0, 1)) }, Fault, "witnesses: after-now"},
		"a log that two have not seen": {func(o *operator) {
			one.cosign(o, seen)
			two.cosign(o, seen)
			o.replace(2, o.list("x.example"))
		}, Fault, "witnesses: uncosigned, lists: wrong-list 4"},
	} {
		t.Run(name, func(t *testing.T) {
			o, c := honest(t), newCustomer(t)
			c.witnesses = policy
			tc.cosign(o)
			for range 2 {
				r := c.audit(o)
				found(t, r, tc.verdict, tc.want)
				if r.Checks[1].Name != "witnesses" || r.Cosigned == nil || len(r.Cosigned.By)+len(r.Cosigned.Missing)+len(r.Cosigned.Invalid) != 3 {
					t.Errorf("%+v", r.Cosigned)
				}
			}
		})
	}
	o, c := honest(t), newCustomer(t)
	r := c.audit(o) // who asks for none sees none
	found(t, r, Verified, "")
	if r.Cosigned != nil || r.Checks[1].Name != "history" {
		t.Errorf("%+v", r)
	}
	one.cosign(o, seen)
	two.cosign(o, seen)
	c.witnesses = policy
	if r := c.audit(o); r.Verdict != Verified || r.Before == 0 || len(r.Cosigned.By) != 2 || !r.Cosigned.By[0].Time.Equal(seen) {
		t.Errorf("%+v", r)
	}
}

// The log gets shorter: an old list is served as if it was the newest.
func TestRollback(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	old := o.twin()
	o.add(o.delist("a.example"))
	o.epoch()
	found(t, c.audit(o), Verified, "")
	found(t, c.audit(old), Fault, "history: rollback")
	// And grows again, into another one.
	old.add(old.list("other.example"))
	found(t, c.audit(old), Fault, "history: rollback")
	found(t, c.audit(o), Verified, "") // what is shorter proves nothing
	old.add(old.list("another.example"), old.list("third.example"))
	found(t, c.audit(old), Fault, "history: fork")
	found(t, c.audit(o), Fault, "history: fork")
}

// What is dated back is caught against what was there before it, and against what this
// machine saw. Before the first look, the operator's clock is all there is.
func TestBackDated(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	e := o.list("late.example")
	e.Time = morning.Add(-maxStep - time.Second)
	o.add(e)
	found(t, newCustomer(t).audit(o), Fault, "times: back-dated 5")

	o = honest(t)
	c.audit(o)
	c.now = morning.Add(3 * time.Hour)
	c.audit(o)
	o.add(o.list("late.example")) // of eight o'clock, and at eleven it was not there
	found(t, c.audit(o), Fault, "times: back-dated 5")
	found(t, newCustomer(t).audit(o), Verified, "") // who did not look then cannot tell

	o = honest(t)
	e = o.list("early.example")
	e.Time = morning.Add(5 * time.Hour)
	o.add(e)
	found(t, newCustomer(t).audit(o), Fault, "times: after-now 5")
}

// A policy that is prose, as a log may have had one: nothing of it counts as verified, ever.
func TestPolicyThatCannotBeExecuted(t *testing.T) {
	o, c := newOperator(t), newCustomer(t)
	prose := "What the operator lists is listed.\n"
	p := &ledger.Entry{Kind: ledger.KindPolicy, Time: o.at(), Version: "1", Policy: sha256.Sum256([]byte(prose)), Document: prose, Bytes: uint64(len(prose))}
	e := o.list("a.example")
	e.Policy, e.Clause = p.Policy, "operator-import"
	o.add(p, e)
	o.epoch()
	found(t, c.audit(o), Unchecked, "policies: policy-not-executable 0, listings: policy-not-executable 1")
	found(t, c.audit(o), Unchecked, "policies: policy-not-executable 0, listings: policy-not-executable 1")
	o.add(o.policy.Entry(o.at()), o.list("b.example"))
	o.epoch()
	found(t, c.audit(o), Unchecked, "policies: policy-not-executable 0, listings: policy-not-executable 1")
	if r := c.audit(o); r.Checks[4].Checked != 2 || r.Before == 0 {
		t.Errorf("%+v", r.Checks[4])
	}
}

func TestHiddenName(t *testing.T) {
	o := honest(t)
	hide := func(salt byte, scope ledger.Scope, name string, forge func(e *ledger.Entry)) {
		e := o.list("")
		e.Salt, e.Scope = ledger.Salt{salt}, scope
		e.Commitment = ledger.Commit(e.Salt, e.Scope, name)
		forge(e)
		o.add(e)
	}
	hide(1, ledger.ScopeExact, "hidden.example", func(*ledger.Entry) {})
	hide(1, ledger.ScopeExact, "other.example", func(*ledger.Entry) {})
	o.epoch()
	c := newCustomer(t)
	found(t, c.audit(o), Unchecked, "listings: commitment 5, listings: commitment 6")
	c.names = []string{"www.deep.hidden.example"} // whoever knows a name can judge what the log says of it
	r := c.audit(o)
	found(t, r, Unchecked, "listings: commitment 6")
	if r.Opened != 1 {
		t.Errorf("%d were opened", r.Opened)
	}
	c.names = []string{"other.example", "hidden.example", "no.example", "com", `a\\.b.example`}
	for range 2 {
		r = c.audit(o)
		found(t, r, Verified, "")
	}
	hide(2, ledger.ScopeSubtree, "third.example", func(e *ledger.Entry) { e.Evidence = e.Evidence[:1] })
	o.epoch()
	found(t, c.audit(o), Unchecked, "listings: commitment 8")
	c.names = []string{"third.example"}
	if r := c.audit(o); r.Verdict != Fault || !strings.Contains(codes(r), "listings: not-listed 8") {
		t.Errorf("%s %s", r.Verdict, codes(r))
	}
}

func TestDelistings(t *testing.T) {
	o := honest(t)
	e := o.delist("a.example")
	e.Case = "case-9"
	o.add(e)
	found(t, newCustomer(t).audit(o), Fault, "delistings: no-case 5")
	for want, forge := range map[string]func(e *ledger.Entry){
		"":                           func(e *ledger.Entry) { e.Evidence = e.Evidence[:1] },
		"delistings: is-listed 5":    func(e *ledger.Entry) {},
		"delistings: no-clause 5":    func(e *ledger.Entry) { e.Clause = "because" },
		"delistings: other-policy 5": func(e *ledger.Entry) { e.Policy[0] ^= 1 },
		"delistings: other-clause 5": func(e *ledger.Entry) { e.Evidence, e.Clause = e.Evidence[:1], "popular" },
	} {
		o := honest(t)
		e := o.delist("a.example")
		e.Clause, e.Policy, e.Evidence = "thin", o.policy.Digest, []ledger.Evidence{c2("feed-a"), c2("feed-b")}
		forge(e)
		o.add(e)
		verdict := Fault
		if want == "" {
			verdict = Verified
		}
		found(t, newCustomer(t).audit(o), verdict, want)
	}
	o = honest(t)
	again := o.delist("a.example")
	o.add(o.delist("a.example"), again, o.delist("nobody.example"))
	found(t, newCustomer(t).audit(o), Fault, "delistings: nothing-ended 6, delistings: nothing-ended 7")
	for want, forge := range map[string]func(e *ledger.Entry){
		"delistings: no-clause 5": func(e *ledger.Entry) { e.Cause = causePolicy },
		"delistings: no-case 5":   func(e *ledger.Entry) { e.Cause = causeAppeal },
		"":                        func(e *ledger.Entry) { e.Cause, e.Clause, e.Policy = causePolicy, "thin", o.policy.Digest },
	} {
		o := honest(t)
		e := o.delist("a.example")
		forge(e)
		o.add(e)
		if got := codes(newCustomer(t).audit(o)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What an operator may do to cases: each has to go on step by step, to an outcome that is one.
func TestCases(t *testing.T) {
	refer := func(o *operator, id string, evidence ...ledger.Evidence) *ledger.Entry {
		e := o.step(id, ledger.CaseReferred)
		e.Clause, e.Policy, e.Evidence = "c2-two-sources", o.policy.Digest, evidence
		return e
	}
	ended := func(o *operator, id, name string) *ledger.Entry {
		e := o.delist(name)
		e.Cause, e.Case = causeAppeal, id
		return e
	}
	for name, tc := range map[string]struct {
		add  func(o *operator) []*ledger.Entry
		want string
	}{
		"granted": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), ended(o, "1", "a.example"), o.step("1", "delisted")}
		}, ""},
		"upheld": {func(o *operator) []*ledger.Entry {
			e := o.step("1", "upheld")
			e.Clause, e.Policy = "c2-two-sources", o.policy.Digest
			return []*ledger.Entry{o.receive("1", 1, "a.example"), refer(o, "1", c2("feed-a"), c2("feed-b")), e}
		}, ""},
		"withdrawn": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), o.step("1", "withdrawn")}
		}, ""},
		"granted, and it stays listed": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), o.step("1", "delisted")}
		}, "cases: still-listed 6"},
		"granted, and listed under another entry": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), ended(o, "1", "a.example"), o.list("a.example"), o.step("1", "delisted")}
		}, "cases: still-listed 8"},
		"upheld before anyone looked": {func(o *operator) []*ledger.Entry {
			e := o.step("1", "upheld")
			e.Clause, e.Policy = "c2-two-sources", o.policy.Digest
			return []*ledger.Entry{o.receive("1", 1, "a.example"), e}
		}, "cases: bad-step 6"},
		"refused in secret: it begins with its end": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.step("1", "withdrawn")}
		}, "cases: bad-step 5"},
		"goes on after its end": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), o.step("1", "withdrawn"), refer(o, "1")}
		}, "cases: bad-step 7"},
		"referred although the policy lists it no longer": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), refer(o, "1", c2("feed-a"))}
		}, "cases: not-listed 6"},
		"referred by a clause that is none": {func(o *operator) []*ledger.Entry {
			e := refer(o, "1", c2("feed-a"), c2("feed-b"))
			e.Clause = "because"
			return []*ledger.Entry{o.receive("1", 1, "a.example"), e}
		}, "cases: no-clause 6"},
		"about an entry that lists another": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 2, "a.example")}
		}, "cases: no-listing 5"},
		"about an entry to come": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 9, "a.example")}
		}, "cases: no-listing 5"},
		"ends another listing than its own": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), ended(o, "1", "b.example")}
		}, "delistings: no-case 6"},
		"ends a listing after its own end": {func(o *operator) []*ledger.Entry {
			return []*ledger.Entry{o.receive("1", 1, "a.example"), o.step("1", "withdrawn"), ended(o, "1", "a.example")}
		}, "delistings: no-case 7"},
	} {
		t.Run(name, func(t *testing.T) {
			o := honest(t)
			again := newCustomer(t)
			again.audit(o) // whose second run begins at the list
			o.add(tc.add(o)...)
			for _, c := range []*customer{again, newCustomer(t)} {
				if got := codes(c.audit(o)); got != tc.want {
					t.Errorf("%q, want %q", got, tc.want)
				}
			}
		})
	}
}

// An entry that is none, a log under another key, files that are kept back, a server that is away.
func TestNoLog(t *testing.T) {
	o := honest(t)
	o.raw = append(o.raw, []byte(`{"kind":"list","name":"victim.example","scope":"exact","time":"2026-01-02T08:00:00Z"}`))
	o.publish()
	found(t, newCustomer(t).audit(o), Fault, "entries: malformed 5")

	o = honest(t)
	o.files[ledger.CheckpointPath] = []byte(strings.Replace(string(o.files[ledger.CheckpointPath]), "\n5\n", "\n6\n", 1))
	found(t, newCustomer(t).audit(o), Fault, "signature: bad-signature")

	o = honest(t)
	delete(o.files, ledger.BundlePath(0, 5))
	found(t, newCustomer(t).audit(o), Fault, "entries: damaged")

	o.down = errors.New("nobody answers")
	if r, err := newCustomer(t).try(o); !errors.Is(err, o.down) || r.Verdict != Unchecked {
		t.Errorf("%v", err)
	}
	o = newOperator(t)
	if _, err := newCustomer(t).try(o); err == nil {
		t.Error("an address without a log")
	}
	o.add(o.policy.Entry(morning))
	found(t, newCustomer(t).audit(o), Unchecked, "lists: no-epoch")
}

func TestPinnedKeys(t *testing.T) {
	dir := t.TempDir()
	if key, err := PinnedKey(dir, "https://log.test/"); key != "" || err != nil {
		t.Errorf("%q, %v", key, err)
	}
	o := newOperator(t)
	for _, address := range []string{"https://log.test/", "https://other.test/"} {
		if err := PinKey(dir, address, o.vkey); err != nil {
			t.Fatal(err)
		}
	}
	if key, err := PinnedKey(dir, "https://log.test/"); key != o.vkey || err != nil {
		t.Errorf("%q, %v", key, err)
	}
	// What is damaged does not count as a log that was never met.
	files, err := filepath.Glob(filepath.Join(dir, addressFolder, "*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, content := range []string{"", "https://log.test/\n", "https://log.test/\n" + o.vkey[:40] + "\n", "https://evil.test/\n" + o.vkey + "\n"} {
		for _, f := range files {
			if err := os.WriteFile(f, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if key, err := PinnedKey(dir, "https://log.test/"); key != "" || err == nil || !strings.Contains(err.Error(), "give the key with --key") {
			t.Errorf("%q: %q, %v", content, key, err)
		}
	}
}

// What stands in the place of the checkpoint is told apart: a page of a portal on the way is no crime of
// the operator's, what another key signed is.
func TestNoCheckpoint(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	found(t, c.audit(o), Verified, "")
	real := o.files[ledger.CheckpointPath]
	for _, page := range []string{"<html>Welcome to the hotel</html>", "", "log.isp.example\n5\nAAAA\n"} {
		o.files[ledger.CheckpointPath] = []byte(page)
		found(t, c.audit(o), Unchecked, "signature: no-checkpoint")
	}
	for name, raw := range map[string]string{
		"another size":            strings.Replace(string(real), "\n5\n", "\n6\n", 1),
		"an extension line":       strings.Replace(string(real), "\n\n", "\nextension 1\n\n", 1),
		"another origin":          strings.Replace(string(real), "log.isp.example\n", "log.evil.example\n", 1),
		"another key's signature": strings.Replace(string(real), "— log.isp.example ", "— log.evil.example ", 1),
	} {
		o.files[ledger.CheckpointPath] = []byte(raw)
		if r := c.audit(o); r.Verdict != Fault || codes(r) != "signature: bad-signature" {
			t.Errorf("%s: %s %s", name, r.Verdict, codes(r))
		}
	}
}

// Two audits at once do not take the lists from one another that they are rebuilding.
func TestTwoAuditsAtOnce(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	m, err := OpenMemory(c.dir, o.vkey)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(m.dir, "rebuilt-1")
	for age, kept := range map[time.Duration]bool{time.Hour: true, 2 * leftoverAge: false} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenMemory(c.dir, o.vkey); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); (err == nil) != kept {
			t.Errorf("a file of %v: %v", age, err)
		}
	}
}

// A log that claims to have more entries than fit into memory is not read, and not verified.
func TestEndlessLog(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	o.files[ledger.CheckpointPath] = o.sign(MaxEntries+1, [32]byte{1})
	before := o.reads.Load()
	r, err := c.try(o)
	if err == nil || !strings.Contains(err.Error(), "more than 100000000 are not read") || r.Verdict != Unchecked || o.reads.Load() > before+1 {
		t.Errorf("%s, %v, %d files were read", r.Verdict, err, o.reads.Load()-before)
	}
}
