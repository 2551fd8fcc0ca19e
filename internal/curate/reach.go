package curate

import (
	"context"
	"hash/fnv"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// reach holds the facts that are about more than their own subject: those of shared and
// special names, which speak of what lies below, and those that a listing of a whole
// subtree above them would take down.
type reach struct {
	below    map[string][]policy.Evidence // by name, what is so of everything below it
	above    map[string][]policy.Evidence // by name, what a listing of its subtree would take down
	passes   map[string]*feed.Exceptions  // by source, what a policy zone lets pass
	prefixes map[netip.Prefix][]policy.Evidence
	bits     [2][]int // lengths of prefixes, IPv4 and IPv6
	popular  uint64   // popular names
	digest   uint64   // of what reaches below: another one means that all is to be decided anew
}

// reachingKinds are the kinds of evidence that spare more than their own subject.
var reachingKinds = []string{
	policy.SharedApex, policy.UserContent, policy.Own, policy.Infrastructure, policy.Benign,
	policy.CoinMiner, policy.P2P, policy.AnonymityRelay, policy.Proxy, policy.Popular, passes,
}

// passes is the kind, of the store alone, of what a policy zone lets pass.
const passes = "passthru"

// loadReach reads the facts from the sources that count.
func loadReach(ctx context.Context, store *evidence.Store, groups map[string]string) (*reach, error) {
	return readReach(store.OfKinds(ctx, reachingKinds...), groups)
}

// nearReach reads the facts that reach one subject alone. How many popular names there are
// is not among them.
func nearReach(ctx context.Context, store *evidence.Store, groups map[string]string, s Subject) (*reach, error) {
	if s.Prefix.IsValid() {
		return readReach(store.Near(ctx, nil, "", true, reachingKinds...), groups)
	}
	text := subjectText(s)
	return readReach(store.Near(ctx, append(slices.Collect(parents(text)), text), text, false, reachingKinds...), groups)
}

func readReach(facts iter.Seq2[*evidence.About, error], groups map[string]string) (*reach, error) {
	r := &reach{below: map[string][]policy.Evidence{}, above: map[string][]policy.Evidence{}, prefixes: map[netip.Prefix][]policy.Evidence{}, passes: map[string]*feed.Exceptions{}}
	for a, err := range facts {
		if err != nil {
			return nil, err
		}
		popular := false
		for _, e := range a.Evidence {
			group, counts := groups[e.Source]
			if !counts {
				continue
			}
			if e.Kind == passes {
				r.takePass(a, e)
				continue
			}
			p := policy.Evidence{Evidence: e.Evidence, Group: group}
			popular = popular || e.Kind == policy.Popular
			if a.Prefix {
				r.takePrefix(a.Text, p)
			} else {
				r.takeName(a.Text, e.Scope, p)
			}
		}
		if popular {
			r.popular++
		}
	}
	for i := range r.bits {
		slices.Sort(r.bits[i])
		r.bits[i] = slices.Compact(r.bits[i])
	}
	return r, nil
}

// takePass notes what a policy zone lets pass.
func (r *reach) takePass(a *evidence.About, e evidence.Evidence) {
	s, ok := subjectOf(a)
	if !ok {
		return
	}
	if r.passes[e.Source] == nil {
		r.passes[e.Source] = feed.NewExceptions()
	}
	r.passes[e.Source].Add(feed.Claim{Name: s.Name, Prefix: s.Prefix, Scope: feed.Scope(e.Scope)})
	r.sum(a.Text + " " + string(e.Scope) + " " + passes + " " + e.Source)
}

func (r *reach) takeName(name string, scope ledger.Scope, e policy.Evidence) {
	shared := e.Kind == policy.SharedApex || e.Kind == policy.UserContent
	if e.Kind != policy.Popular && (scope == ledger.ScopeSubtree || e.Kind == policy.SharedApex) {
		down := e
		down.Reference = name
		if shared {
			down.Kind = policy.BelowSharedApex
		}
		r.below[name] = append(r.below[name], down)
		r.sum(name + " " + down.Kind + " " + down.Source)
	}
	up := e
	if shared {
		up.Kind = policy.SharedApex
	}
	if e.Kind != policy.Popular { // of which the reference is the rank
		up.Reference = name
	}
	for parent := range parents(name) {
		r.takeDown(parent, up)
	}
}

// takeDown notes one fact of a kind for a name: the best rank of the popular ones.
func (r *reach) takeDown(name string, e policy.Evidence) {
	have := r.above[name]
	for i := range have {
		if have[i].Kind == e.Kind {
			if e.Kind == policy.Popular && len(e.Reference) < len(have[i].Reference) {
				have[i] = e
			}
			return
		}
	}
	r.above[name] = append(have, e)
}

func (r *reach) takePrefix(text string, e policy.Evidence) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.IsSingleIP() {
		return
	}
	e.Reference = text
	r.prefixes[p] = append(r.prefixes[p], e)
	r.bits[family(p)] = append(r.bits[family(p)], p.Bits())
	r.sum(text + " " + e.Kind + " " + e.Source)
}

func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// sum adds a fact to the digest, in whatever order they come.
func (r *reach) sum(text string) {
	h := fnv.New64a()
	h.Write([]byte(text))
	r.digest += h.Sum64()
}

// parents yields the names above one, but those of one label, which no clause lists.
func parents(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for {
			i := strings.IndexByte(name, '.')
			if i < 0 || !strings.Contains(name[i+1:], ".") {
				return
			}
			name = name[i+1:]
			if !yield(name) {
				return
			}
		}
	}
}

// facts appends what is known of a subject because of others.
func (r *reach) facts(out []policy.Evidence, s Subject, text string) []policy.Evidence {
	if s.Prefix.IsValid() {
		for _, bits := range r.bits[family(s.Prefix)] {
			if bits < s.Prefix.Bits() {
				wide, _ := s.Prefix.Addr().Prefix(bits) // within the address's length
				out = append(out, r.prefixes[wide]...)
			}
		}
		return out
	}
	for parent := range parents(text) {
		out = append(out, r.below[parent]...)
	}
	if ledger.Scope(s.Scope) == ledger.ScopeSubtree {
		out = append(out, r.above[text]...)
	}
	return out
}
