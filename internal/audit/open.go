package audit

import (
	"strings"

	"github.com/shoji-dns/shoji/ledger"
)

// MaxOpened is how many names may be given to open commitments with: each takes some 100 octets of
// memory for each salt of the log, with the names above it.
const MaxOpened = 1_000_000

// opener opens commitments with names that somebody knows. A commitment that it opens is to that name
// and no other, so that what its entry says can be judged as if the name stood there.
type opener struct {
	names  []string // as entries write them
	tables map[ledger.Salt]map[ledger.Digest]string
	opened uint64
}

// newOpener takes names, and those above each, of which one may be listed with all below it.
func newOpener(names []string) *opener {
	o := &opener{tables: map[ledger.Salt]map[ledger.Digest]string{}}
	seen := map[string]bool{}
	for _, n := range names {
		for n != "" && !seen[n] {
			seen[n] = true
			if ledger.CanCommit(n) {
				o.names = append(o.names, n)
			}
			n = above(n)
		}
	}
	return o
}

// above is the name without its first label; "" for one of a single label.
func above(n string) string {
	for i := 0; i < len(n); i++ {
		switch n[i] {
		case '\\':
			i++
		case '.':
			return n[i+1:]
		}
	}
	return ""
}

// open is an entry about a commitment as it would be with its name; the same entry where none of
// the names is the one.
func (o *opener) open(e *ledger.Entry) *ledger.Entry {
	if e.Commitment.IsZero() || len(o.names) == 0 {
		return e
	}
	table := o.tables[e.Salt]
	if table == nil {
		if len(o.tables) > ledger.MaxSalts {
			return e // no log has so many at a time
		}
		table = make(map[ledger.Digest]string, 2*len(o.names))
		for _, n := range o.names {
			for _, s := range []ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree} {
				table[ledger.Commit(e.Salt, s, n)] = n
			}
		}
		o.tables[e.Salt] = table
	}
	name, known := table[e.Commitment]
	if !known || ledger.Commit(e.Salt, e.Scope, name) != e.Commitment {
		return e
	}
	o.opened++
	told := *e
	told.Name, told.Commitment, told.Salt = strings.Clone(name), ledger.Digest{}, ledger.Salt{}
	return &told
}
