// Package appeal is the life of a case: what may follow on what, which entry of the public
// log each step is, and when staff has decided. It is pure: it reads no clock, and the same
// entries add up to the same case on every machine.
//
// # The life of a case
//
//	received ──► delisted                  the policy, executed again, lists it no longer
//	    │
//	    ├──────► referred ──► upheld       a person decided that it stays
//	    │            ├──────► delisted     a person decided that it goes, or its evidence went
//	    │            └──┐
//	    └───────────────┴──► withdrawn     whoever appealed took it back
//
// Every step is a public entry of the log (kind case, see package ledger) with the case's
// identity. The first names the listing and, as its cause, what is said to be wrong (Causes).
// referred, upheld and delisted name the clause that decided; referred carries the evidence
// that it was decided by. A note is a reason that staff gave. What the one who appealed wrote, and
// how he can be reached, is in no entry.
//
// # Who decides
//
// A clause of the policy may ask for more than one person (its key people). A case is decided
// when that many members of staff agree; each has one vote, the latest counts.
//
// # Limits
//
// An entry's time is the operator's word: the times of a
// case never run backwards here, whatever clock wrote them.
package appeal

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// Causes are what may be wrong with a listing, as the cause of a case's first entry.
func Causes() []string { return slices.Clone(causes) }

var causes = []string{
	"never-malware", // it never commanded malware
	"cleaned",       // it was broken into and has been cleaned
	"new-owner",     // it changed hands
	"shared",        // others share the name or address, and are filtered with it
	"other",
}

// CauseText is a cause for people, in English and Japanese.
func CauseText(cause string) (en, ja string) {
	switch cause {
	case "never-malware":
		return "It never commanded malware", "マルウェアの指令に使われたことはない"
	case "cleaned":
		return "It was broken into, and has been cleaned", "侵入されたが、すでに復旧した"
	case "new-owner":
		return "It belongs to somebody else now", "所有者が変わった"
	case "shared":
		return "Others share it and are filtered with it", "他の利用者と共有しており、巻き添えになっている"
	}
	return "Something else", "その他"
}

// Case is a case as the entries of the log add up to it.
type Case struct {
	ID     string
	Scope  ledger.Scope // of the listing it is about
	Name   string
	Prefix netip.Prefix

	Commitment ledger.Digest // of a name that is not told; zero: it is
	Salt       ledger.Salt   // of Commitment

	Listing uint64 // the entry it is about
	Cause   string
	Status  string // of ledger.Case…; "" before the first entry

	Received time.Time
	Referred time.Time // zero: never
	Ended    time.Time // zero: not yet

	Clause   string // that decided last; "" before that
	Policy   ledger.Digest
	Evidence []ledger.Evidence // that it was referred by
	Note     string            // staff's reason; "" where the policy decided
}

// Open reports whether the case has begun and goes on.
func (c *Case) Open() bool { return c.Status != "" && !ledger.CaseEnded(c.Status) }

// ByPeople reports whether a person decided it.
func (c *Case) ByPeople() bool {
	return c.Status == ledger.CaseUpheld || c.Status == ledger.CaseDelisted && c.Note != ""
}

// Key is the same for cases about the same listing's subject, told or not, and for no others.
func (c *Case) Key() string { return KeyOf(c.Subject(), c.Commitment) }

// KeyOf is the Key of cases about a listing.
func KeyOf(subject string, commitment ledger.Digest) string {
	if !commitment.IsZero() {
		return "commitment:" + commitment.String()
	}
	return subject
}

// Subject is the listing's subject as people write it; "" for a name that is not told.
func (c *Case) Subject() string {
	switch {
	case c.Prefix.IsValid():
		return c.Prefix.String()
	case !c.Commitment.IsZero():
		return ""
	case c.Scope == ledger.ScopeSubtree:
		return "*." + c.Name
	}
	return c.Name
}

// follows says which states may follow on one.
func follows(before string) []string {
	switch before {
	case "":
		return []string{ledger.CaseReceived}
	case ledger.CaseReceived:
		return []string{ledger.CaseReferred, ledger.CaseDelisted, ledger.CaseWithdrawn}
	case ledger.CaseReferred:
		return []string{ledger.CaseUpheld, ledger.CaseDelisted, ledger.CaseWithdrawn}
	}
	return nil
}

// Apply takes the case one step on, by an entry of the log. An entry that is of another case,
// or that cannot follow, is an error, and leaves the case as it was.
func (c *Case) Apply(e *ledger.Entry) error {
	switch {
	case e.Kind != ledger.KindCase:
		return fmt.Errorf("an entry of kind %s is no step of a case", e.Kind)
	case c.Status != "" && e.Case != c.ID:
		return fmt.Errorf("the entry is of case %s and not of %s", e.Case, c.ID)
	case !slices.Contains(follows(c.Status), e.Status):
		return fmt.Errorf("case %s: %s cannot follow on %q", e.Case, e.Status, c.Status)
	}
	at := e.Time
	for _, before := range []time.Time{c.Received, c.Referred} {
		if at.Before(before) {
			at = before
		}
	}
	switch c.Status = e.Status; {
	case e.Status == ledger.CaseReceived:
		c.ID, c.Cause, c.Received = e.Case, e.Cause, at
		c.Scope, c.Name, c.Prefix, c.Commitment, c.Salt = e.Scope, e.Name, e.Prefix, e.Commitment, e.Salt
		if e.Listing != nil {
			c.Listing = *e.Listing
		}
		return nil
	case e.Status == ledger.CaseReferred:
		c.Referred, c.Evidence = at, e.Evidence
	default:
		c.Ended, c.Note = at, e.Note
	}
	if e.Clause != "" {
		c.Clause, c.Policy = e.Clause, e.Policy
	}
	return nil
}

// Judgement is what the policy makes of the listing's subject.
type Judgement struct {
	Clause   string
	Policy   ledger.Digest
	Evidence []ledger.Evidence
}

// Receive is the first entry of a case about the listing l, which is entry number n.
func Receive(id string, n uint64, l *ledger.Entry, cause string, at time.Time) *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindCase, Time: at, Case: id, Status: ledger.CaseReceived, Cause: cause, Listing: &n,
		Scope: l.Scope, Name: l.Name, Prefix: l.Prefix, Commitment: l.Commitment, Salt: l.Salt,
	}
}

// Refer is the step by which a case goes to a person.
func (c *Case) Refer(j Judgement, at time.Time) *ledger.Entry {
	e := c.step(ledger.CaseReferred, at)
	e.Clause, e.Policy, e.Evidence = j.Clause, j.Policy, j.Evidence
	return e
}

// Delist is the step with which the listing ends. note is a person's reason; "" where the policy
// decided. The entry that ends the listing itself is not this one.
func (c *Case) Delist(j Judgement, note string, at time.Time) *ledger.Entry {
	e := c.step(ledger.CaseDelisted, at)
	e.Clause, e.Policy, e.Note = j.Clause, j.Policy, note
	return e
}

// Uphold is the step with which a person lets the listing stand.
func (c *Case) Uphold(j Judgement, note string, at time.Time) *ledger.Entry {
	e := c.step(ledger.CaseUpheld, at)
	e.Clause, e.Policy, e.Note = j.Clause, j.Policy, note
	return e
}

// Withdraw is the step by which whoever appealed takes it back.
func (c *Case) Withdraw(at time.Time) *ledger.Entry { return c.step(ledger.CaseWithdrawn, at) }

func (c *Case) step(status string, at time.Time) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindCase, Time: at, Case: c.ID, Status: status}
}
