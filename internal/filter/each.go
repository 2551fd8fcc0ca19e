package filter

import (
	"bytes"
	"net/netip"
	"runtime"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// Names hands out every name that is listed, with its scope, in the canonical order of
// RFC 4034 §6.1; of a name that is listed both ways the exact one first. It ends when
// yield returns false. An error says that the file is damaged, and then not all names
// were handed out.
func (l *List) Names(yield func(dns.Name, ledger.Scope) bool) error {
	defer runtime.KeepAlive(l)
	r := l.reader()
	for r.next() {
		scope := ledger.ScopeExact
		if r.block.subtree {
			scope = ledger.ScopeSubtree
		}
		name, ok := keyName(r.key())
		if !ok {
			return damaged("the key of record %d is no name", r.done)
		}
		if !yield(name, scope) {
			return nil
		}
	}
	if r.done != r.records {
		return damaged("record %d of %d cannot be read", r.done, r.records)
	}
	return nil
}

// Prefixes hands out every prefix that is listed, IPv4 first, the longest first. It
// ends when yield returns false.
func (l *List) Prefixes(yield func(netip.Prefix) bool) {
	l.eachPrefix(func(p netip.Prefix, _ uint64) bool { return yield(p) })
}

// eachPrefix is Prefixes with the entry that lists each.
func (l *List) eachPrefix(yield func(netip.Prefix, uint64) bool) {
	defer runtime.KeepAlive(l)
	for i := range l.groups {
		g := &l.groups[i]
		for n := range g.count {
			if !yield(netip.PrefixFrom(g.addr(n), int(g.bits)), g.verdict(n).Entry) {
				return
			}
		}
	}
}

// keyName is the name that a key is of; false where it is of none.
func keyName(key []byte) (dns.Name, bool) {
	var wire [maxWire + 1]byte
	at := len(wire) - 1 // the root's zero
	for len(key) > 0 {
		label, rest := key, []byte(nil)
		if i := bytes.IndexByte(key, 0); i >= 0 {
			label, rest = key[:i], key[i+1:]
		}
		if bytes.IndexByte(label, 1) >= 0 {
			label = unescape(label)
		}
		if len(label) == 0 || len(label) > maxLabel || at < len(label)+1 {
			return "", false
		}
		at -= copy(wire[at-len(label):], label) + 1
		wire[at] = byte(len(label))
		key = rest
	}
	name := dns.Name(wire[at:])
	return name, len(name) <= dns.MaxName
}
