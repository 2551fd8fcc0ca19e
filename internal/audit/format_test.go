package audit

import (
	"slices"
	"testing"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// inFormat is the epoch entry of an operator whose version of shoji has another format of the list.
func (o *operator) inFormat(layout uint32) *ledger.Entry {
	o.t.Helper()
	e := o.epochEntry()
	e.Layout, e.Bytes = layout, e.Bytes+1
	e.Digest[0] ^= 1
	return e
}

// A list in a format that is not known here accuses nobody, and is not verified; what can be said of it is.
func TestListInAnotherFormat(t *testing.T) {
	for _, layout := range []uint32{filter.Version - 1, filter.Version + 1, ledger.MaxLayout} {
		o, c := honest(t), newCustomer(t)
		o.add(o.list("d.example"))
		o.add(o.inFormat(layout))
		for range 2 {
			r := c.audit(o)
			found(t, r, Unchecked, "lists: other-format 6")
			if at := r.Checks[len(r.Checks)-1].Findings[0]; at.Format != layout || r.list == nil || r.list.Count() != 4 {
				t.Errorf("%+v", at)
			}
		}
	}
	for want, forge := range map[string]func(e *ledger.Entry){
		"lists: wrong-list 5":   func(e *ledger.Entry) { e.Count++ },
		"lists: wrong-map 5":    func(e *ledger.Entry) { e.Map[0] ^= 1 },
		"lists: wrong-format 5": func(e *ledger.Entry) { e.Digest[0] ^= 1 }, // which is then the one of our format
	} {
		o := honest(t)
		e := o.inFormat(filter.Version + 1)
		forge(e)
		o.add(e)
		found(t, newCustomer(t).audit(o), Fault, want)
		o.epoch() // a right one does not mend it
		found(t, newCustomer(t).audit(o), Fault, want)
	}
	o := honest(t)
	e := o.inFormat(filter.Version + 1)
	e.Layout = filter.Version
	o.add(e)
	found(t, newCustomer(t).audit(o), Fault, "lists: wrong-list 5")
}

// Once the operator has the format of this program, earlier lists in another one are left out, and said to be;
// who asks for them is told that they were not checked.
func TestEarlierListInAnotherFormat(t *testing.T) {
	o, c := honest(t), newCustomer(t)
	o.add(o.inFormat(filter.Version - 1))
	found(t, c.audit(o), Unchecked, "lists: other-format 5")
	o.epoch()
	for _, c := range []*customer{c, c, newCustomer(t)} {
		r := c.audit(o)
		found(t, r, Verified, "")
		if at := slices.IndexFunc(r.Checks, func(c *Check) bool { return c.Name == "lists" }); r.Checks[at].Left != 1 || r.Checks[at].Checked != 2 {
			t.Errorf("%+v", r.Checks[at])
		}
	}
	c.everyList = true
	found(t, c.audit(o), Unchecked, "lists: other-format 5")
	c.everyList = false // that it was asked for once spoils no later run
	found(t, c.audit(o), Verified, "")
	o.epoch()
	found(t, c.audit(o), Verified, "")
}
