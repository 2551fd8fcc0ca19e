package curate

import (
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// judge has the policy decide about what the store knows.
type judge struct {
	policy *policy.Policy
	guard  Guard
	groups map[string]string // the sources that count, and the group of each
	zones  []string          // sources that are policy zones, in the order of their precedence
	sealed map[string]bool   // sources whose names are not told
	reach  *reach            // nil: facts that reach below are not known
	now    time.Time
}

// groupsOf are the sources that count: those declared, and a person's word.
func groupsOf(sources []Source) map[string]string {
	groups := map[string]string{SourceOperator: SourceOperator}
	for i := range sources {
		groups[sources[i].ID] = sources[i].group()
	}
	return groups
}

// zonesOf are the sources that are declared to be policy zones, in their order.
func zonesOf(sources []Source) []string {
	var out []string
	for i := range sources {
		if sources[i].isZone() {
			out = append(out, sources[i].ID)
		}
	}
	return out
}

// overruled reports whether a policy zone before the one that accuses lets the subject pass, or a
// part of it.
func (j *judge) overruled(s Subject, e *evidence.Evidence) bool {
	if j.reach == nil || len(j.reach.passes) == 0 {
		return false
	}
	c := feed.Claim{Name: s.Name, Prefix: s.Prefix, Scope: feed.Scope(e.Scope)}
	for _, zone := range j.zones[:max(slices.Index(j.zones, e.Source), 0)] {
		if x := j.reach.passes[zone]; x != nil && x.Against(c) {
			return true
		}
	}
	return false
}

// counted is the evidence of a subject that counts for a scope. Of what a source said and
// says no longer, accusations count until they are stale. An accusation of the name alone
// does not count for its subtree, nor does one that is overruled; nil: none is.
func counted(groups map[string]string, a *evidence.About, scope ledger.Scope, overruled func(*evidence.Evidence) bool) []policy.Evidence {
	out := make([]policy.Evidence, 0, len(a.Evidence)+4)
	for i := range a.Evidence {
		e := &a.Evidence[i]
		group, ok := groups[e.Source]
		accuses := slices.Contains(accusing, e.Kind)
		if !ok || e.Kind == passes || e.Withdrawn && !accuses || accuses && scope == ledger.ScopeSubtree && e.Scope != scope {
			continue
		}
		if accuses && overruled != nil && overruled(e) {
			continue
		}
		out = append(out, policy.Evidence{Evidence: e.Evidence, Group: group})
	}
	return out
}

// verdict is a decision with what it was made of.
type verdict struct {
	policy.Decision
	subject   *policy.Subject
	key       Subject // with the scope that would be listed
	overruled int     // accusations that do not count, for a policy zone lets it pass
}

// decide decides about one subject for a scope, with carried evidence that the store does not have.
func (j *judge) decide(a *evidence.About, s Subject, carried []policy.Evidence) (verdict, error) {
	scope := ledger.Scope(s.Scope)
	v := verdict{subject: &policy.Subject{Prefix: s.Prefix, Scope: scope}, key: s}
	if !a.Prefix {
		v.subject.Name = a.Text
	}
	given := append(counted(j.groups, a, scope, func(e *evidence.Evidence) bool {
		over := j.overruled(s, e)
		if over {
			v.overruled++
		}
		return over || j.untellable(a, e)
	}), carried...)
	facts := j.guard.facts(s)
	if j.reach != nil {
		facts = j.reach.facts(facts, s, a.Text)
	}
	if room := ledger.MaxEvidence - len(facts); len(given) > room { // facts spare: they are never left out
		given = given[:max(room, 0)]
	}
	v.subject.Evidence = append(given, facts...)
	if len(v.subject.Evidence) > ledger.MaxEvidence {
		v.subject.Evidence = v.subject.Evidence[:ledger.MaxEvidence]
	}
	var err error
	if v.Decision, err = j.policy.Decide(v.subject, j.now); err == nil && v.Outcome == policy.List {
		v.key.Scope = feed.Scope(v.Scope)
	}
	return v, err
}

// wanted is what the policy makes of all that is known of a subject: its subtree is listed
// where the claims about the subtree carry that, else the name alone where all together do.
func (j *judge) wanted(a *evidence.About) (verdict, bool, error) {
	s, ok := subjectOf(a)
	if !ok {
		return verdict{}, false, nil
	}
	subtree := func(e evidence.Evidence) bool {
		return e.Scope == ledger.ScopeSubtree && slices.Contains(accusing, e.Kind)
	}
	if !a.Prefix && slices.ContainsFunc(a.Evidence, subtree) {
		s.Scope = feed.Subtree
		if v, err := j.decide(a, s, nil); err != nil || v.Outcome == policy.List {
			return v, true, err
		}
		s.Scope = feed.Exact
	}
	v, err := j.decide(a, s, nil)
	return v, true, err
}

// subjectOf is the subject of what is known; false where it is none that can be listed.
func subjectOf(a *evidence.About) (Subject, bool) {
	if a.Prefix {
		s, err := ParseSubject(a.Text)
		return s, err == nil && s.Prefix.IsValid()
	}
	name, err := dns.ParseName(a.Text)
	return Subject{Name: name.Canonical(), Scope: feed.Exact}, err == nil
}

// carry is the evidence of a listing that the store does not have: what a person imported
// or listed as a canary. Without it there is none.
func carry(groups map[string]string, e *ledger.Entry) []policy.Evidence {
	var out []policy.Evidence
	kept := false
	for _, ev := range e.Evidence {
		switch {
		case ev.Kind == policy.Chosen, ev.Kind == policy.Canary:
			kept = true
		case slices.Contains(ruled, ev.Kind), !slices.Contains(accusing, ev.Kind), groups[ev.Source] != "":
			continue
		}
		out = append(out, policy.Evidence{Evidence: ev})
	}
	if !kept {
		return nil
	}
	return out
}
