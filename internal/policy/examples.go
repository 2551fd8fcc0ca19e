package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/ledger"
)

// example is a subject with what the policy must make of it. Times are spans before the
// moment of the decision, so that an example does not age.
type example struct {
	Note     string            `yaml:"note"`
	Name     string            `yaml:"name"`
	Prefix   string            `yaml:"prefix"`
	Scope    string            `yaml:"scope"`
	Evidence []exampleEvidence `yaml:"evidence"`
	Outcome  Outcome           `yaml:"outcome"`
	Clause   string            `yaml:"clause"`
	Listed   string            `yaml:"listed"` // the scope of the listing; "": not looked at
}

type exampleEvidence struct {
	Kind      string `yaml:"kind"`
	Source    string `yaml:"source"`
	Group     string `yaml:"group"`
	Reference string `yaml:"reference"`
	Family    string `yaml:"family"`
	Seen      *span  `yaml:"seen"` // how long ago; without it, nobody knows
}

// exampleNow is the moment at which examples are decided.
var exampleNow = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func (x *example) subject() (*Subject, error) {
	s := &Subject{Name: x.Name, Scope: ledger.ScopeExact}
	switch {
	case x.Prefix != "":
		p, err := netip.ParsePrefix(x.Prefix)
		if err != nil {
			return nil, fmt.Errorf("prefix: %w", err)
		}
		s.Prefix, s.Scope = p, ledger.ScopePrefix
	case x.Name == "":
		return nil, errors.New("neither name nor prefix")
	default:
		if err := ledger.CheckName(x.Name); err != nil {
			return nil, fmt.Errorf("name: %w", err)
		}
	}
	if x.Scope == scopeSubtree {
		s.Scope = ledger.ScopeSubtree
	}
	for i := range x.Evidence {
		e := &x.Evidence[i]
		out := Evidence{Group: e.Group}
		out.Kind, out.Source, out.Reference, out.Family = e.Kind, e.Source, e.Reference, e.Family
		if e.Seen != nil {
			out.Last = exampleNow.Add(-time.Duration(*e.Seen))
		}
		s.Evidence = append(s.Evidence, out)
	}
	return s, nil
}

// checkExamples decides each example and compares.
func (p *Policy) checkExamples() error {
	for i := range p.examples {
		if err := p.checkExample(&p.examples[i]); err != nil {
			return fmt.Errorf("example %d (%s): %w", i+1, p.examples[i].Note, err)
		}
	}
	return nil
}

func (p *Policy) checkExample(x *example) error {
	s, err := x.subject()
	if err != nil {
		return err
	}
	if p.Clause(x.Clause) == nil {
		return fmt.Errorf("there is no clause %q", x.Clause)
	}
	d, err := p.Decide(s, exampleNow)
	switch {
	case err != nil:
		return err
	case d.Outcome != x.Outcome || d.Clause.ID != x.Clause:
		return fmt.Errorf("it is %s by clause %s, and should be %s by clause %s", d.Outcome, d.Clause.ID, x.Outcome, x.Clause)
	case x.Listed != "" && string(d.Scope) != x.Listed:
		return fmt.Errorf("its scope is %s, and should be %s", d.Scope, x.Listed)
	}
	return nil
}

// Examples is how many examples the document has.
func (p *Policy) Examples() int { return len(p.examples) }
