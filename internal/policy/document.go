package policy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/goccy/go-yaml"

	"github.com/shoji-dns/shoji/ledger"
)

// The scopes of a clause.
const (
	scopeClaimed = "claimed"
	scopeExact   = "exact"
	scopeSubtree = "subtree"
)

// document is a policy as it is written.
type document struct {
	Version  string          `yaml:"version"`
	Title    Text            `yaml:"title"`
	Ages     map[string]span `yaml:"ages"`
	Limits   Limits          `yaml:"limits"`
	Appeals  Appeals         `yaml:"appeals"`
	Clauses  []clause        `yaml:"clauses"`
	Examples []example       `yaml:"examples"`
}

type clause struct {
	ID     string  `yaml:"id"`
	Title  Text    `yaml:"title"`
	Reason Text    `yaml:"reason"`
	When   string  `yaml:"when"`
	Then   Outcome `yaml:"then"`
	Scope  string  `yaml:"scope"`
	People *int    `yaml:"people"`
}

// span is a span of time in text: a whole number and its unit.
type span time.Duration

var units = map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second}

// UnmarshalText reads a span such as 90d.
func (s *span) UnmarshalText(b []byte) error {
	text := string(b)
	if len(text) > 1 {
		unit := units[text[len(text)-1:]]
		n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
		if unit != 0 && err == nil {
			*s = span(time.Duration(n) * unit)
			return nil
		}
	}
	return fmt.Errorf("%q is no span of time; write it like 90d, 12h, 30m or 10s", text)
}

// Parse reads a document, checks all of it and runs its examples.
func Parse(b []byte) (*Policy, error) {
	if len(b) > MaxDocument {
		return nil, fmt.Errorf("policy: longer than %d octets", MaxDocument)
	}
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("policy: it begins with a byte order mark; save it as UTF-8 without one")
	}
	if i := bytes.IndexByte(b, '\r'); i >= 0 { // the log takes no control characters
		return nil, fmt.Errorf("policy: line %d has a carriage return; save it with line ends of Unix (LF)", 1+bytes.Count(b[:i], []byte("\n")))
	}
	var d document
	in := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict())
	switch err := in.Decode(&d); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("policy: the document is empty")
	case err != nil:
		return nil, fmt.Errorf("policy: %s", yaml.FormatError(err, false, false))
	}
	if err := in.Decode(new(any)); !errors.Is(err, io.EOF) { // its digest would cover what nobody executes
		return nil, errors.New("policy: a second document follows the first, behind ---: one file holds one policy")
	}
	p, err := d.policy()
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	p.Document, p.Digest = bytes.Clone(b), sha256.Sum256(b)
	if _, err := p.Entry(time.Unix(0, 0)).Marshal(); err != nil {
		return nil, fmt.Errorf("policy: it does not fit into the log: %w", err)
	}
	if err := p.checkExamples(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return p, nil
}

func (d *document) policy() (*Policy, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	p := &Policy{Version: d.Version, Title: d.Title, Limits: d.Limits, Appeals: d.Appeals, Ages: make(map[string]time.Duration), examples: d.Examples}
	for name, s := range d.Ages {
		p.Ages[name] = time.Duration(s)
	}
	env, err := environment(p.Ages)
	if err != nil {
		return nil, err
	}
	for i := range d.Clauses {
		c, err := d.Clauses[i].compile(env)
		if err != nil {
			return nil, fmt.Errorf("clause %d (%s): %w", i+1, d.Clauses[i].ID, err)
		}
		if p.Clause(c.ID) != nil {
			return nil, fmt.Errorf("clause %d: %q is the id of an earlier one too", i+1, c.ID)
		}
		p.Clauses = append(p.Clauses, c)
	}
	if last := p.Clauses[len(p.Clauses)-1]; last.program != nil || last.Then != Spare {
		return nil, fmt.Errorf("clause %s: the last clause must be \"when: true, then: spare\", so that what meets no other is not filtered", last.ID)
	}
	return p, nil
}

// ageName is what an age may be called: one identifier of CEL.
var ageName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (d *document) check() error {
	if err := ledger.CheckToken(d.Version); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	if err := d.Title.check("title"); err != nil {
		return err
	}
	switch {
	case len(d.Clauses) == 0:
		return errors.New("clauses: there is none")
	case len(d.Clauses) > MaxClauses:
		return fmt.Errorf("clauses: %d, more than %d", len(d.Clauses), MaxClauses)
	case len(d.Examples) > MaxExamples:
		return fmt.Errorf("examples: %d, more than %d", len(d.Examples), MaxExamples)
	case len(d.Ages) > MaxAges:
		return fmt.Errorf("ages: %d, more than %d", len(d.Ages), MaxAges)
	case !isShare(d.Limits.Popular):
		return fmt.Errorf("limits.popular: %v is no share between 0 and 1", d.Limits.Popular)
	case !isShare(d.Limits.Changed):
		return fmt.Errorf("limits.changed: %v is no share between 0 and 1", d.Limits.Changed)
	}
	for name := range maps.Keys(d.Ages) {
		if !ageName.MatchString(name) {
			return fmt.Errorf("ages: %q is no name for an age; use a to z, digits and _", name)
		}
	}
	return nil
}

func isShare(f float64) bool { return f > 0 && f <= 1 }

func (t Text) check(what string) error {
	for _, s := range []struct{ lang, text string }{{"en", t.EN}, {"ja", t.JA}} {
		if s.text == "" {
			return fmt.Errorf("%s: no text in %q", what, s.lang)
		}
		if err := ledger.CheckText(s.text); err != nil {
			return fmt.Errorf("%s.%s: %w", what, s.lang, err)
		}
	}
	return nil
}

func (c *clause) compile(env *cel.Env) (Clause, error) {
	out := Clause{ID: c.ID, Title: c.Title, Reason: c.Reason, When: c.When, Then: c.Then, Scope: c.Scope}
	if out.Scope == "" {
		out.Scope = scopeClaimed
	}
	if err := ledger.CheckToken(c.ID); err != nil {
		return out, fmt.Errorf("id: %w", err)
	}
	if err := c.Title.check("title"); err != nil {
		return out, err
	}
	if err := c.Reason.check("reason"); err != nil {
		return out, err
	}
	switch c.Then {
	case List, Review:
	case Spare:
		if c.Scope != "" {
			return out, errors.New("scope: a clause that spares has none")
		}
	default:
		return out, fmt.Errorf("then: %q is none of list, spare, review", c.Then)
	}
	switch out.Scope {
	case scopeClaimed, scopeExact, scopeSubtree:
	default:
		return out, fmt.Errorf("scope: %q is none of claimed, exact, subtree", c.Scope)
	}
	out.People = 1
	if c.People != nil {
		out.People = *c.People
	}
	if out.People < 1 || out.People > MaxPeople {
		return out, fmt.Errorf("people: %d is not between 1 and %d", out.People, MaxPeople)
	}
	switch c.When {
	case "":
		return out, errors.New("when: there is no condition; write \"true\" for a clause that always holds")
	case "true":
		return out, nil
	}
	program, err := compile(env, c.When)
	if err != nil {
		return out, fmt.Errorf("when: %w", err)
	}
	out.program = program
	return out, nil
}
