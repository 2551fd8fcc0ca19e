package filter

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// smallList is a list with all that a list can have.
func smallList(t testing.TB) []byte {
	listings := []ledger.Listing{
		exact("a.test", 1), subtree("a.test", 2), subtree("b.a.test", 3), subtree(`\000\001\255\254.odd.test`, 4), exact("test", 5),
		exact("averylonglabelthatneedsmorethaneightoctets.example", 1<<53-1),
		prefix("192.0.2.0/24", 6), prefix("192.0.2.1/32", 7), prefix("2001:db8::/32", 8), prefix("2001:db8::1/128", 9),
	}
	for l := range synthetic(100, ledger.ScopeSubtree) {
		listings = append(listings, l)
	}
	_, data := build(t, listings...)
	return data
}

// smallSealedList is smallList with commitments.
func smallSealedList(t testing.TB) []byte {
	b, err := gather(77, [32]byte{1}, 3, slices.Values([]ledger.Listing{exact("a.test", 1), subtree("b.a.test", 3), prefix("192.0.2.0/24", 6)}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		salt := ledger.Salt{byte(1 + i%2)}
		b.addCommitment(ledger.Commitment{Commitment: ledger.Commit(salt, ledger.ScopeExact, string(rune('a'+i%26))+".test"), Salt: salt, Scope: ledger.ScopeExact, Entry: uint64(100 + i)})
	}
	var out bytes.Buffer
	if _, err := b.write(&out, b.sorted()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// ask asks a list about everything, damaged or not.
func ask(l *List, more []byte) {
	for _, n := range []string{".", "test", "a.test", "x.a.test", "c.b.a.test", `x.\000\001\255\254.odd.test`, "www.averylonglabelthatneedsmorethaneightoctets.example"} {
		l.Match([]byte(dns.MustName(n)))
	}
	for s, i := newShape(100), 0; i < 20; i++ {
		l.Match([]byte(dns.MustName(s.next())))
	}
	l.Match(more)
	l.MatchName(dns.Name(more))
	for _, a := range []string{"192.0.2.1", "192.0.2.9", "255.255.255.255", "0.0.0.0", "2001:db8::1", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
		l.MatchAddr(netip.MustParseAddr(a))
	}
	_, _, _ = l.Count(), l.Epoch(), l.RootHash()
	l.Commitments(func(c ledger.Commitment) bool {
		l.CommittedEntry(c.Commitment)
		return true
	})
	l.Has(dns.MustName("a.test"), ledger.ScopeSubtree)
	l.HasPrefix(netip.MustParsePrefix("192.0.2.0/24"))
	changes := slices.Values([]ledger.Change{
		{Listing: exact("b.test", 1<<53-1), Listed: true}, {Listing: subtree("a.test", 0)}, {Listing: prefix("192.0.2.0/24", 0)},
	})
	_, _ = (&builder{header: header{epoch: 1}}).merge(io.Discard, l, 3, changes)
}

// mend makes the header of a damaged file consistent again, so that what lies
// behind it is reached.
func mend(data []byte) {
	if len(data) < headerSize {
		return
	}
	binary.LittleEndian.PutUint64(data[80:], uint64(len(data)))
	sum := sha256.Sum256(data[:sumAt])
	copy(data[sumAt:headerSize], sum[:])
}

// FuzzOpen parses damaged files and asks what it can still parse.
func FuzzOpen(f *testing.F) {
	good := smallList(f)
	_, none := build(f)
	f.Add(good, []byte("\x01a\x04test\x00"), true)
	f.Add(none, []byte("\x00"), false)
	f.Add(smallSealedList(f), []byte("\x01a\x04test\x00"), true)
	f.Add(good[:headerSize], []byte{}, true)
	f.Fuzz(func(t *testing.T, data, name []byte, repair bool) {
		data = bytes.Clone(data)
		if repair {
			mend(data)
		}
		if l, err := parse(slices.Clip(data)); err == nil {
			ask(l, name)
		}
	})
}

// TestDamagedFiles changes a few octets of a good file at a time, in every
// region, and asks. Whatever comes of it, nothing panics.
func TestDamagedFiles(t *testing.T) {
	for _, good := range [][]byte{smallList(t), smallSealedList(t)} {
		askDamaged(t, good)
	}
}

func askDamaged(t *testing.T, good []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	parsed := 0
	for range 20000 {
		data := bytes.Clone(good)
		for range 1 + r.IntN(8) {
			at := 64 + r.IntN(len(data)-64)
			if r.IntN(2) == 0 {
				data[at] ^= 1 << r.IntN(8)
			} else {
				data[at] = byte(r.Uint32() >> (r.IntN(2) * 32)) // a random octet or zero
			}
		}
		mend(data)
		if l, err := parse(data); err == nil {
			parsed++
			ask(l, nil)
		}
	}
	if parsed < 10000 {
		t.Errorf("only %d of 20000 damaged files could be asked", parsed)
	}
}
