package filter

import (
	"io"
	"net/netip"
	"runtime"
	"strings"

	"github.com/shoji-dns/shoji/ledger"
)

// Map writes the verifiable map over the list as a file for ledger.OpenMap, and returns its
// root. It is the one of ledger.State.Map.
func (l *List) Map(w io.Writer) (ledger.Digest, error) {
	defer runtime.KeepAlive(l)
	var b ledger.MapBuilder
	b.Reserve(int(l.Count()))
	r := l.reader()
	for r.next() {
		text, ok := keyText(r.key())
		if !ok {
			return ledger.Digest{}, damaged("the key of record %d is no name", r.done)
		}
		scope := ledger.ScopeExact
		if r.block.subtree {
			scope = ledger.ScopeSubtree
		}
		b.Add(ledger.Listing{Name: text, Scope: scope, Entry: r.block.entry})
	}
	if r.done != r.records {
		return ledger.Digest{}, damaged("record %d of %d cannot be read", r.done, r.records)
	}
	l.eachPrefix(func(p netip.Prefix, entry uint64) bool {
		b.Add(ledger.Listing{Prefix: p, Scope: ledger.ScopePrefix, Entry: entry})
		return true
	})
	l.Commitments(func(c ledger.Commitment) bool {
		b.AddCommitment(c)
		return true
	})
	return b.Build(w, l.epoch, l.sealed.salts)
}

// MergeMap writes the map over l, octet for octet as Map does, from the map over the list
// that l was merged from and the tail that it was merged with. What old says is taken as it
// is: its root must be the one of that list's epoch.
func (l *List) MergeMap(w io.Writer, old *ledger.Map, tail *ledger.Tail) (ledger.Digest, error) {
	if old.Head().Size != tail.Base().Size || l.epoch != tail.Size() {
		return ledger.Digest{}, ErrNotBase
	}
	var b ledger.MapBuilder
	b.Reserve(tail.Len())
	for c := range tail.Changes() {
		if c.Listed {
			b.Add(c.Listing)
		} else {
			b.Remove(c.Listing)
		}
	}
	for c := range tail.CommitmentChanges() {
		if c.Listed {
			b.AddCommitment(c.Commitment)
		} else {
			b.RemoveCommitment(c.Commitment)
		}
	}
	return b.Merge(w, old, l.epoch, l.sealed.salts)
}

// keyText is the name that a key is of, as an entry of the log writes it; false where it is
// of none.
func keyText(key []byte) (string, bool) {
	var buf [maxKey]byte
	at := len(buf)
	for i := 0; i < len(key); { // labels from the top down become labels from the left
		start := i
		for i < len(key) && key[i] != 0 {
			if c := key[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return oddKeyText(key)
			}
			i++
		}
		at -= i - start
		copy(buf[at:], key[start:i])
		if i < len(key) {
			at--
			buf[at] = '.'
			i++
		}
	}
	return string(buf[at:]), len(key) > 0
}

// oddKeyText is keyText for a name with octets that need an escape, or are not seen in names.
func oddKeyText(key []byte) (string, bool) {
	n, ok := keyName(key)
	return strings.TrimSuffix(n.String(), "."), ok
}
