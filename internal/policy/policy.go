// Package policy is the definition of malware that a program executes: a published
// document of clauses, and the decision that follows from it for a subject and the
// evidence about it. It is pure: the same document, evidence and moment give the same
// decision on every machine, so that a listing can be checked by whoever has the log.
//
// # The document
//
// One YAML document (default.yaml is the one that ships):
//
//	version:  a token; a new one for every change
//	title:    {en: …, ja: …}
//	ages:     named spans of time, such as fresh: 90d (d, h, m, s)
//	limits:   popular, changed: shares of 0 to 1 that one epoch may change without a person
//	appeals:  standing: true has an appeal leave out accusations that their source no longer makes
//	clauses:  in order; the first whose condition holds decides
//	  - id:     a token, which listings cite
//	    title:  {en: …, ja: …}
//	    reason: {en: …, ja: …}
//	    when:   a condition in CEL (https://cel.dev)
//	    then:   list, spare or review
//	    scope:  for list and review: claimed (default), exact or subtree
//	    people: how many members of staff have to agree on an appeal against it, 1 (default) to MaxPeople
//	examples: subject → outcome and clause; a policy whose examples fail is refused
//
// The last clause has no condition but true, so that every subject meets one.
//
// # Conditions
//
// A condition sees what a log entry carries, and nothing else:
//
//	name         string    the listed name in presentation form; "" for an address prefix
//	labels       int       how many labels the name has
//	prefix       string    the address prefix; "" for a name
//	families     list      families of malware that the evidence names, each once, sorted
//	rank         int       best rank in a list of popular names, 1 being the first; 0: none has it
//	ages.X       duration  the document's named ages
//	evidence     and its functions, below; KIND is one of Kinds, WITHIN a duration
//
//	evidence.has(KIND) and evidence.has(KIND, WITHIN)           → bool
//	evidence.sources(KIND) and evidence.sources(KIND, WITHIN)   → int: independent groups of sources
//	evidence.samples(KIND) and evidence.samples(KIND, WITHIN)   → int: groups that refer to a sample
//	evidence.only([KIND, …])                                    → bool: there is some, and all is of these kinds
//
// WITHIN counts back from the moment of the decision to when the evidence was last seen.
// Evidence without such a time is never within one. When a source that gives no dates saw
// something, package evidence says.
//
// A sample is one piece of malware that anyone can analyse. Evidence refers to one by a digest
// (sha256:…, sha1:…, md5:…, or the digest alone) or by the address of a sample or of its analysis at one of the
// services in samplePages (VirusTotal's files, MalwareBazaar, ANY.RUN, Triage, Joe Sandbox, …).
// Articles, digests of anything else, and references that a source gives for several
// subjects at once refer to none.
//
// # Limits
//
// MaxDocument, MaxClauses, MaxExamples, MaxCondition, MaxCost. A condition that does not
// type-check, that costs more than MaxCost in the worst case, or that names an unknown
// kind is refused when the document is loaded.
package policy

import (
	_ "embed"
	"errors"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/shoji-dns/shoji/ledger"
)

// Limits of a document.
const (
	MaxDocument  = ledger.MaxEntry // octets: a document has to fit into one entry of the log
	MaxClauses   = 64
	MaxExamples  = 256
	MaxAges      = 32
	MaxCondition = 4096 // octets of one condition
	MaxPeople    = 5    // a case that waited for more would never end

	// MaxCost is what one condition may cost in the worst case, in CEL's units (about
	// one a step). The default policy's dearest condition is under a twentieth of it.
	MaxCost = 100_000
)

//go:embed default.yaml
var defaultDocument []byte

// Outcome is what a clause decides.
type Outcome string

// The outcomes.
const (
	List   Outcome = "list"   // it is malware: filtered
	Spare  Outcome = "spare"  // it is not
	Review Outcome = "review" // it is listed once a person has confirmed it, and spared until then
)

// Text is a text for the public in both of its languages.
type Text struct {
	EN string `yaml:"en" json:"en"`
	JA string `yaml:"ja" json:"ja"`
}

// In is the text in a language, "ja" or any other, which is English.
func (t Text) In(lang string) string {
	if lang == "ja" {
		return t.JA
	}
	return t.EN
}

// Clause is one rule of a policy.
type Clause struct {
	ID     string  `json:"id"`
	Title  Text    `json:"title"`
	Reason Text    `json:"reason"`
	When   string  `json:"when"` // CEL
	Then   Outcome `json:"then"`
	Scope  string  `json:"scope"`  // claimed, exact or subtree
	People int     `json:"people"` // who have to agree on an appeal

	program cel.Program
}

// Limits say how much one epoch may change without a person's confirmation.
type Limits struct {
	Popular float64 `yaml:"popular" json:"popular"` // share of the popular names known
	Changed float64 `yaml:"changed" json:"changed"` // share of the list
}

// Appeals say how an appeal is looked at.
type Appeals struct {
	// Standing has accusations count only as long as their source makes them, once somebody
	// appeals. Else they count until they are stale, as they do without an appeal.
	Standing bool `yaml:"standing" json:"standing"`
}

// Policy is a document that was checked, ready to decide. It is immutable and safe for
// concurrent use.
type Policy struct {
	Version  string                   `json:"version"`
	Digest   ledger.Digest            `json:"-"` // SHA-256 of Document
	Title    Text                     `json:"title"`
	Ages     map[string]time.Duration `json:"-"`
	Limits   Limits                   `json:"limits"`
	Appeals  Appeals                  `json:"appeals"`
	Clauses  []Clause                 `json:"clauses"`
	Document []byte                   `json:"-"` // as it was read

	examples []example
	activity activityPool
}

// Default is the policy that ships with the program.
func Default() (*Policy, error) { return Parse(defaultDocument) }

// Entry is the policy as an entry of the log. Whoever reads it there can execute it.
func (p *Policy) Entry(at time.Time) *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindPolicy, Time: at.UTC().Truncate(time.Second), Version: p.Version, Policy: p.Digest,
		Title: p.Title.EN, Document: string(p.Document), Bytes: uint64(len(p.Document)),
	}
}

// Clause is the clause with an id; nil where there is none.
func (p *Policy) Clause(id string) *Clause {
	for i := range p.Clauses {
		if p.Clauses[i].ID == id {
			return &p.Clauses[i]
		}
	}
	return nil
}

// People is how many members of staff have to agree on an appeal in which clauses play a part:
// as many as the strictest of them asks for. Clauses that the policy does not have ask for one.
func (p *Policy) People(clauses ...string) int {
	people := 1
	for _, id := range clauses {
		if c := p.Clause(id); c != nil {
			people = max(people, c.People)
		}
	}
	return people
}

// Decision is what a policy says of a subject.
type Decision struct {
	Outcome Outcome
	Clause  *Clause
	Scope   ledger.Scope // of the listing; meaningless for Spare
}

// errNoClause cannot happen with a document that was checked.
var errNoClause = errors.New("no clause applies")

// Decide applies the clauses in order. A Review that evidence of kind Confirmed, referring
// to the clause by its id, answers becomes List; one of kind Rejected makes it Spare. The
// later of the two counts. An error names the clause whose condition failed.
func (p *Policy) Decide(s *Subject, now time.Time) (Decision, error) {
	a := p.activity.get()
	defer p.activity.put(a)
	a.set(p, s, now)
	for i := range p.Clauses {
		c := &p.Clauses[i]
		holds, err := c.holds(a)
		if err != nil {
			return Decision{}, fmt.Errorf("clause %s: %w", c.ID, err)
		}
		if holds {
			return c.decision(s), nil
		}
	}
	return Decision{}, errNoClause
}

func (c *Clause) holds(a *activity) (bool, error) {
	if c.program == nil {
		return true, nil
	}
	v, _, err := c.program.Eval(a)
	if err != nil {
		return false, err
	}
	holds, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the condition yields %T, not a bool", v.Value())
	}
	return holds, nil
}

func (c *Clause) decision(s *Subject) Decision {
	d := Decision{Outcome: c.Then, Clause: c, Scope: s.Scope}
	switch {
	case c.Then == Spare || s.Prefix.IsValid():
	case c.Scope == scopeExact:
		d.Scope = ledger.ScopeExact
	case c.Scope == scopeSubtree:
		d.Scope = ledger.ScopeSubtree
	}
	if c.Then == Review {
		d.Outcome = s.ruling(c.ID)
	}
	return d
}
