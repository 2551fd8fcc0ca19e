package audit

import (
	"fmt"
	"net/netip"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// Causes of delistings that bind the operator to more than his word. Others are a person's.
const (
	causePolicy = "policy" // follows from evidence and policy
	causeAppeal = "appeal" // a case brought it about
)

// delisting holds that a listing ended that was there, for a cause that is one: by the policy, with
// the clause that decides instead; by an appeal, with the case that was open; and where it says by what
// evidence, the policy is executed.
func (v *visitor) delisting(n uint64, e *ledger.Entry, before *ledger.Tail) {
	v.delistings.Checked++
	if e.Name != "" && e.Cause != causePolicy {
		v.kept.Released.add(e.Name)
	}
	if _, listed := v.inForce(before, e.Name, e.Scope, e.Prefix); !listed && e.Commitment.IsZero() {
		v.note(v.delistings, NothingEnded, n, e, "")
		return
	}
	if why := v.citesCase(e); why != "" {
		v.note(v.delistings, NoCase, n, e, why)
		return
	}
	if e.Policy.IsZero() && e.Clause == "" {
		if e.Cause == causePolicy {
			v.note(v.delistings, NoClause, n, e, "its cause is the policy, and it names no clause")
		}
		return
	}
	if code := v.cites(e, before); code != "" {
		v.note(v.delistings, code, n, e, "")
		return
	}
	if len(e.Evidence) == 0 {
		return
	}
	d, err := v.decide(e)
	switch {
	case err != nil:
		v.note(v.delistings, NotExecutable, n, e, err.Error())
	case d.Outcome == policy.List:
		v.note(v.delistings, IsListed, n, e, fmt.Sprintf("it cites clause %s; clause %s decides: list", e.Clause, d.Clause.ID))
	case d.Clause.ID != e.Clause:
		v.note(v.delistings, OtherClause, n, e, fmt.Sprintf("it cites clause %s; clause %s decides", e.Clause, d.Clause.ID))
	}
}

// citesCase says what is wrong with the case that a delisting cites; "" where nothing is.
func (v *visitor) citesCase(e *ledger.Entry) string {
	c, known := v.kept.Cases[e.Case]
	switch {
	case e.Case == "" && e.Cause == causeAppeal:
		return "its cause is an appeal, and it names none"
	case e.Case == "":
		return ""
	case !known:
		return e.Case
	case !c.Open():
		return fmt.Sprintf("%s, which had ended before", e.Case)
	case c.Name != e.Name || c.Prefix != e.Prefix:
		return fmt.Sprintf("%s, which is about %s", e.Case, c.Subject())
	}
	return ""
}

// inForce finds the entry that lists a subject, as the entries before have it.
func (v *visitor) inForce(before *ledger.Tail, name string, scope ledger.Scope, prefix netip.Prefix) (entry uint64, listed bool) {
	known := false
	if prefix.IsValid() {
		if entry, listed, known = before.PrefixEntry(prefix); !known && v.base.list != nil {
			entry, listed = v.base.list.PrefixEntry(prefix)
		}
		return entry, listed
	}
	if entry, listed, known = before.Entry(name, scope); known || v.base.list == nil || name == "" {
		return entry, listed
	}
	if n, err := dns.ParseName(name); err == nil {
		entry, listed = v.base.list.Entry(n, scope)
	}
	return entry, listed
}

// step takes a case one step on: it has to follow on the one before; a case begins about a listing
// that is in force, is referred to a person because the policy lists as before, and ends as delisted
// when the listing has ended.
func (v *visitor) step(n uint64, e *ledger.Entry, before *ledger.Tail) {
	v.cases.Checked++
	note := func(code, detail string) {
		f := Finding{Code: code, Entry: &n, Subject: e.Case, Detail: detail}
		if code == OldPolicy || code == Committed || code == NotExecutable {
			v.cases.open(f)
		} else {
			v.cases.fault(f)
		}
	}
	c := v.kept.Cases[e.Case]
	if err := c.Apply(e); err != nil {
		note(BadStep, err.Error())
		return
	}
	v.kept.Cases[e.Case] = c
	at, listed := v.inForce(before, c.Name, c.Scope, c.Prefix)
	switch e.Status {
	case ledger.CaseReceived:
		if e.Listing == nil {
			note(NoListing, "it names none")
		} else if !listed || at != *e.Listing {
			note(NoListing, fmt.Sprintf("it is about entry %d and %s", *e.Listing, c.Subject()))
		}
	case ledger.CaseDelisted:
		if listed {
			note(StillListed, fmt.Sprintf("entry %d lists %s", at, c.Subject()))
		}
	case ledger.CaseReferred, ledger.CaseUpheld:
		about := *e
		about.Name, about.Prefix, about.Scope = c.Name, c.Prefix, c.Scope
		if code := v.cites(&about, before); code != "" {
			note(code, "")
			return
		}
		if len(e.Evidence) == 0 {
			return
		}
		d, err := v.decide(&about)
		switch {
		case err != nil:
			note(NotExecutable, err.Error())
		case d.Outcome != policy.List:
			note(NotListed, fmt.Sprintf("clause %s decides: %s", d.Clause.ID, d.Outcome))
		case d.Clause.ID != e.Clause:
			note(OtherClause, fmt.Sprintf("it cites clause %s; clause %s decides", e.Clause, d.Clause.ID))
		}
	}
}

// openCases counts the cases without an outcome, and finds since when the oldest of them waits.
func (a *auditor) openCases() {
	for _, c := range a.visit.kept.Cases {
		if !c.Open() {
			continue
		}
		if a.report.Cases++; a.report.Waiting == nil || c.Received.Before(*a.report.Waiting) {
			a.report.Waiting = &c.Received
		}
	}
}
