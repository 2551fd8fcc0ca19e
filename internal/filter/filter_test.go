package filter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// compile writes the list of listings in any order.
func compile(w io.Writer, epoch uint64, root [32]byte, hint int, listings iter.Seq[ledger.Listing]) (Digest, error) {
	b, err := gather(epoch, root, hint, listings)
	if err != nil {
		return Digest{}, err
	}
	return b.write(w, b.sorted())
}

// build compiles listings and parses the octets.
func build(t testing.TB, listings ...ledger.Listing) (*List, []byte) {
	t.Helper()
	return buildSeq(t, len(listings), slices.Values(listings))
}

func buildSeq(t testing.TB, n int, listings iter.Seq[ledger.Listing]) (*List, []byte) {
	t.Helper()
	var out bytes.Buffer
	digest, err := compile(&out, 77, [32]byte{1, 2, 3}, n, listings)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if sum, err := Sum(path, nil); err != nil || sum != digest {
		t.Fatalf("Sum = %v, %v; Compile said %v", sum, err, digest)
	}
	l, err := parse(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return l, out.Bytes()
}

func exact(name string, entry uint64) ledger.Listing {
	return ledger.Listing{Name: name, Scope: ledger.ScopeExact, Entry: entry}
}

func subtree(name string, entry uint64) ledger.Listing {
	return ledger.Listing{Name: name, Scope: ledger.ScopeSubtree, Entry: entry}
}

func prefix(p string, entry uint64) ledger.Listing {
	return ledger.Listing{Prefix: netip.MustParsePrefix(p), Scope: ledger.ScopePrefix, Entry: entry}
}

func TestMatchNamesMostSpecificListing(t *testing.T) {
	l, _ := build(t,
		exact("evil.example", 1), subtree("c2.evil.example", 2), exact("c2.evil.example", 3),
		subtree("deep.c2.evil.example", 4), subtree("x.test", 5), exact("only.test", 6), exact(`od\.d.test`, 7), subtree(`\000\001.test`, 8), exact(`\255\254\253.test`, 9))
	none := Verdict{}
	for _, c := range []struct {
		name string
		want Verdict
	}{
		{"evil.example", Verdict{1, Exact, 2, 0}},
		{"www.evil.example", none},
		{"c2.evil.example", Verdict{3, Exact, 3, 0}},
		{"www.c2.evil.example", Verdict{2, Subtree, 3, 0}},
		{"a.b.c2.evil.example", Verdict{2, Subtree, 3, 0}},
		{"deep.c2.evil.example", Verdict{4, Subtree, 4, 0}},
		{"a.deep.c2.evil.example", Verdict{4, Subtree, 4, 0}},
		{"x.test", Verdict{5, Subtree, 2, 0}},
		{"xx.test", none},
		{"only.test", Verdict{6, Exact, 2, 0}},
		{`od\.d.test`, Verdict{7, Exact, 2, 0}},
		{"od.d.test", none},
		{`\000\001.test`, Verdict{8, Subtree, 2, 0}},
		{`a.\000\001.test`, Verdict{8, Subtree, 2, 0}},
		{`\000\002.test`, none},
		{`\255\254\253.test`, Verdict{9, Exact, 2, 0}},
		{`\255\254\252.test`, none},
		{"test", none},
		{"example", none},
		{".", none},
	} {
		n := dns.MustName(c.name)
		got, ok := l.Match([]byte(n))
		if got != c.want || ok != (c.want != none) {
			t.Errorf("Match(%s) = %v, %v; want %v", c.name, got, ok, c.want)
		}
		if ok && !n.IsSubdomainOf(got.Listed(n)) {
			t.Errorf("Match(%s) lists %v", c.name, got.Listed(n))
		}
	}
	if l.Count() != 9 || l.Epoch() != 77 || l.RootHash() != [32]byte{1, 2, 3} {
		t.Errorf("count %d, epoch %d, root %x", l.Count(), l.Epoch(), l.RootHash())
	}
}

func TestRootListed(t *testing.T) {
	l, _ := build(t, subtree(".", 9))
	for _, name := range []string{".", "com", "a.b.c.test"} {
		if v, ok := l.Match([]byte(dns.MustName(name))); !ok || v != (Verdict{9, Subtree, 0, 0}) {
			t.Errorf("Match(%s) = %v, %v", name, v, ok)
		}
	}
}

func TestMatchAddrLongestPrefix(t *testing.T) {
	l, _ := build(t, prefix("192.0.2.0/24", 1), prefix("192.0.2.128/25", 2), prefix("192.0.2.200/32", 3),
		prefix("2001:db8::/32", 4), prefix("2001:db8:1::/48", 5), prefix("2001:db8::1/128", 6), prefix("::ffff:198.51.100.0/120", 7))
	for _, c := range []struct {
		addr string
		want uint64
		text string
	}{
		{"192.0.2.1", 1, "192.0.2.0/24"}, {"192.0.2.129", 2, "192.0.2.128/25"}, {"192.0.2.200", 3, "192.0.2.200/32"},
		{"::ffff:192.0.2.200", 3, "192.0.2.200/32"}, {"192.0.3.0", 0, ""}, {"2001:db8::2", 4, "2001:db8::/32"},
		{"2001:db8:1::2", 5, "2001:db8:1::/48"}, {"2001:db8::1", 6, "2001:db8::1/128"}, {"2001:db9::", 0, ""},
		{"198.51.100.9", 7, "198.51.100.0/24"}, {"::192.0.2.1", 0, ""},
	} {
		a := netip.MustParseAddr(c.addr)
		v, ok := l.MatchAddr(a)
		if ok != (c.want != 0) || v.Entry != c.want {
			t.Errorf("MatchAddr(%s) = %v, %v; want entry %d", a, v, ok, c.want)
		}
		if ok && v.ListedPrefix(a).String() != c.text {
			t.Errorf("MatchAddr(%s) lists %v, want %s", a, v.ListedPrefix(a), c.text)
		}
	}
	if v, ok := l.MatchAddr(netip.Addr{}); ok {
		t.Errorf("the zero Addr matches %v", v)
	}
}

func TestAllAddressesListed(t *testing.T) {
	l, _ := build(t, prefix("0.0.0.0/0", 1), prefix("::/0", 2))
	for addr, want := range map[string]uint64{"192.0.2.1": 1, "2001:db8::1": 2} {
		if v, ok := l.MatchAddr(netip.MustParseAddr(addr)); !ok || v.Entry != want {
			t.Errorf("MatchAddr(%s) = %v, %v", addr, v, ok)
		}
	}
}

func TestJudge(t *testing.T) {
	l, _ := build(t, subtree("c2.evil.test", 5), prefix("192.0.2.0/24", 6))
	cname := func(owner, target string) dns.RR {
		return dns.RR{Name: dns.MustName(owner), Type: dns.TypeCNAME, Class: dns.ClassIN, Data: []byte(dns.MustName(target))}
	}
	a := func(owner string, addr ...byte) dns.RR {
		return dns.RR{Name: dns.MustName(owner), Type: dns.TypeA, Class: dns.ClassIN, Data: addr}
	}
	for _, c := range []struct {
		what   string
		rrs    []dns.RR
		want   Verdict
		listed string
	}{
		{"alias of a listed name, in capitals", []dns.RR{cname("cdn.shop.test", "www.C2.Evil.Test")}, Verdict{5, Subtree, 3, 0}, "www.C2.Evil.Test."},
		{"address in a listed prefix", []dns.RR{cname("far.shop.test", "w.shop.test"), a("w.shop.test", 192, 0, 2, 7)}, Verdict{6, Prefix, 24, 0}, "192.0.2.7"},
		{"the owner alone does not count", []dns.RR{a("c2.evil.test", 198, 51, 100, 1)}, Verdict{}, ""},
		{"nothing listed", []dns.RR{cname("a.test", "b.test"), a("b.test", 198, 51, 100, 1)}, Verdict{}, ""},
	} {
		ans := answer.New(answer.Parts{Name: dns.MustName("q.test"), Type: dns.TypeA, Answer: c.rrs})
		v, subject, ok := l.Explain(ans)
		text := ""
		if subject.Name != "" {
			text = subject.Name.String()
		} else if subject.Addr.IsValid() {
			text = subject.Addr.String()
		}
		if v != c.want || ok != (c.want != Verdict{}) || text != c.listed {
			t.Errorf("%s: %v on %q, %v", c.what, v, text, ok)
		}
		if v2, ok2 := l.Judge(ans); v2 != v || ok2 != ok {
			t.Errorf("%s: Judge says %v, Explain %v", c.what, v2, v)
		}
	}
}

func TestEmptyListMatchesNothing(t *testing.T) {
	var live Live
	compiled, _ := build(t)
	for _, l := range []*List{live.Load(), compiled, new(List)} {
		if v, ok := l.Match([]byte(dns.MustName("a.test"))); ok {
			t.Errorf("Match = %v", v)
		}
		if v, ok := l.MatchAddr(netip.MustParseAddr("192.0.2.1")); ok {
			t.Errorf("MatchAddr = %v", v)
		}
		if l.Count() != 0 {
			t.Errorf("Count = %d", l.Count())
		}
	}
	if old := live.Swap(compiled); old == nil || live.Load() != compiled || live.Swap(nil) != compiled || live.Load() == nil {
		t.Error("Live loses a list")
	}
}

func TestMatchOfNoName(t *testing.T) {
	l, _ := build(t, subtree("test", 1))
	for _, name := range []string{"", "\x04tes", "\x04test", "\xc0\x0c", strings.Repeat("\x01a", 200) + "\x00", "\x40" + strings.Repeat("a", 64) + "\x00"} {
		if v, ok := l.Match([]byte(name)); ok {
			t.Errorf("Match(%q) = %v", name, v)
		}
	}
	longest := dns.Name(strings.Repeat("\x01a", 124) + "\x04test\x00")
	if v, ok := l.Match([]byte(longest)); !ok || v.Size != 1 {
		t.Errorf("a name of %d octets: %v, %v", len(longest), v, ok)
	}
}

func TestSameOctetsInAnyOrder(t *testing.T) {
	var listings []ledger.Listing
	for l := range synthetic(20000, ledger.ScopeSubtree) {
		listings = append(listings, l)
		if l.Entry%3 == 0 {
			listings = append(listings, exact(l.Name, l.Entry+50000))
		}
		if l.Entry%7 == 0 {
			listings = append(listings, ledger.Listing{Scope: ledger.ScopePrefix, Entry: l.Entry + 1,
				Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(l.Entry >> 8), byte(l.Entry)}), 24+int(l.Entry%9)).Masked()})
		}
	}
	_, want := build(t, listings...)
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(listings), func(i, j int) { listings[i], listings[j] = listings[j], listings[i] })
	l, got := build(t, listings...)
	if !bytes.Equal(want, got) {
		t.Error("another order of the listings gives other octets")
	}
	for _, li := range listings {
		if li.Prefix.IsValid() {
			continue
		}
		v, ok := l.Match([]byte(dns.MustName(li.Name)))
		if !ok || v.Rule == Exact && li.Scope != ledger.ScopeExact && li.Entry%3 != 0 {
			t.Fatalf("Match(%s) = %v, %v", li.Name, v, ok)
		}
	}
}

func TestSeedDependsOnRoot(t *testing.T) {
	var files [2][]byte
	for i := range files {
		var out bytes.Buffer
		if _, err := compile(&out, 1, [32]byte{byte(i)}, 1, slices.Values([]ledger.Listing{exact("a.test", 1)})); err != nil {
			t.Fatal(err)
		}
		files[i] = out.Bytes()
	}
	if bytes.Equal(files[0][64:80], files[1][64:80]) {
		t.Error("two logs have one seed")
	}
}

// TestFingerprintNeverBlocks finds names that are not listed and that the filter,
// the bucket and the fingerprint all take for a listed one.
func TestFingerprintNeverBlocks(t *testing.T) {
	l, _ := buildSeq(t, 5000, synthetic(5000, ledger.ScopeSubtree))
	collisions := 0
	var buf [64]byte
	for i := 0; collisions < 3 && i < 1<<23; i++ {
		label := fmt.Appendf(buf[:0], "n%d", i)
		h := hashLabel(hashLabel(l.seed, l.mult, []byte("test")), l.mult, label)
		if !l.mayHold(h) {
			continue
		}
		line := l.line(place(h, len(l.table)/lineSize))
		for at := lineHead; at < lineSize; at += 4 {
			slot := binary.LittleEndian.Uint32(line[at:])
			if slot == 0 || slot>>(l.placeBits+1) != fingerprint(h, l.fingerBits()) {
				continue
			}
			collisions++
			name := dns.MustName(string(label) + ".test")
			if v, ok := l.Match([]byte(name)); ok {
				t.Errorf("%s is not listed and matches %v", name, v)
			}
		}
	}
	if collisions == 0 {
		t.Fatal("no name found with a listed one's fingerprint: nothing was tested")
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, l := range []ledger.Listing{
		{Name: "a..test", Scope: ledger.ScopeExact}, {Name: "a.test", Scope: "some"}, {Name: "a.test", Scope: ledger.ScopePrefix},
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Scope: ledger.ScopeExact}, {Name: "a.test", Scope: ledger.ScopeExact, Entry: 1 << 53},
	} {
		if _, err := compile(new(bytes.Buffer), 1, [32]byte{}, 1, slices.Values([]ledger.Listing{l})); err == nil {
			t.Errorf("%+v compiles", l)
		}
	}
}

type fullDisk struct{ left int }

var errFull = errors.New("no space left")

func (w *fullDisk) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestCompileReportsWriteError(t *testing.T) {
	for _, left := range []int{0, 1 << 20} {
		if _, err := compile(&fullDisk{left}, 1, [32]byte{}, 0, synthetic(200000, ledger.ScopeExact)); !errors.Is(err, errFull) {
			t.Errorf("%d octets left: %v", left, err)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	l, _ := build(t, subtree("listed.test", 1), exact("www.shop.test", 2), prefix("192.0.2.0/24", 3))
	names := []dns.Name{dns.MustName("a.b.listed.test"), dns.MustName("www.shop.test"), dns.MustName("clean.example.org")}
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	wire := [][]byte{[]byte(names[0]), []byte(names[1]), []byte(names[2])}
	ans := answer.New(answer.Parts{Name: names[2], Type: dns.TypeA, Answer: []dns.RR{
		{Name: names[2], Type: dns.TypeCNAME, Class: dns.ClassIN, Data: []byte(dns.MustName("Clean.Example.NET"))},
		{Name: names[2], Type: dns.TypeA, Class: dns.ClassIN, Data: []byte{198, 51, 100, 1}},
	}})
	if n := testing.AllocsPerRun(100, func() {
		for i := range wire {
			l.Match(wire[i])
			l.MatchName(names[i])
		}
		for _, a := range addrs {
			l.MatchAddr(a)
		}
	}); n != 0 {
		t.Errorf("Match allocates %v times", n)
	}
	// A target is a new dns.Name: that one allocation is the record's, not the list's.
	if n := testing.AllocsPerRun(100, func() { l.Judge(ans) }); n > 1 {
		t.Errorf("Judge allocates %v times", n)
	}
}

func TestOpenMapsAndUnmaps(t *testing.T) {
	_, data := build(t, subtree("listed.test", 1))
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := l.Match([]byte(dns.MustName("w.listed.test"))); !ok || v.Entry != 1 {
			t.Fatalf("Match = %v, %v", v, ok)
		}
		runtime.GC()
	}
}

func TestOpenRefuses(t *testing.T) {
	_, good := build(t, subtree("listed.test", 1))
	damage := map[string]func([]byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"short":          func(b []byte) []byte { return b[:100] },
		"cut":            func(b []byte) []byte { return b[:len(b)-1] },
		"grown":          func(b []byte) []byte { return append(b, 0) },
		"magic":          func(b []byte) []byte { b[0] ^= 1; return b },
		"version":        func(b []byte) []byte { b[8] = version - 1; return b },
		"header":         func(b []byte) []byte { b[104] ^= 1; return b },
		"header's sum":   func(b []byte) []byte { b[250] ^= 1; return b },
		"something else": func([]byte) []byte { return bytes.Repeat([]byte("not a list\n"), 100) },
	}
	for what, change := range damage {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, change(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder opens")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestLongNames lists names whose records are longer than a unit, or nearly, between short ones.
func TestLongNames(t *testing.T) {
	long := func(c byte, octets int) string {
		name := ""
		for left := octets; left > 0; left -= 64 {
			name += strings.Repeat(fmt.Sprintf(`\%03d`, c), min(left, 63)) + "."
		}
		return name + "test"
	}
	var listings []ledger.Listing
	for i, octets := range []int{3, 60, 100, 101, 102, 103, 104, 105, 106, 107, 150, 200, 245} {
		for j, c := range []byte{0, 1, 'A' + 32, 200, 255} {
			entry := uint64(100*i + 10*j)
			listings = append(listings, subtree(long(c, octets), entry), exact(long(c, octets), entry+1), exact(fmt.Sprintf("short%d.test", entry), entry+2))
		}
	}
	l, _ := build(t, listings...)
	for _, want := range listings {
		name := dns.MustName(want.Name)
		if entry, ok := l.Entry(name, want.Scope); !ok || entry != want.Entry {
			t.Errorf("a name of %d octets, %s: entry %d, %v", len(name), want.Scope, entry, ok)
		}
	}
	n := uint64(0)
	err := l.Names(func(name dns.Name, scope ledger.Scope) bool {
		r, ok := l.Record(n)
		entry, listed := l.Entry(name, scope)
		if !ok || !listed || r != (Record{name, scope, entry}) {
			t.Errorf("record %d is %v, %v, not %v", n, r, ok, name)
		}
		n++
		return true
	})
	if err != nil || n != uint64(len(listings)) {
		t.Errorf("%d of %d names, %v", n, len(listings), err)
	}
}

// TestFullLines has records go on from full lines.
func TestFullLines(t *testing.T) {
	spilled := 0
	for n := 9; n < 1000; n += 9 {
		var listings []ledger.Listing
		for i := range n {
			listings = append(listings, exact(fmt.Sprintf("n%d.of%d.test", i, n), uint64(i)))
		}
		l, _ := build(t, listings...)
		lines := len(l.table) / lineSize
		for _, want := range listings {
			name := dns.MustName(want.Name)
			if entry, ok := l.Entry(name, want.Scope); !ok || entry != want.Entry {
				t.Fatalf("%s of %d: entry %d, %v", want.Name, n, entry, ok)
			}
			key := appendKey(nil, name)
			h, _ := hashKey(l.seed, l.mult, key)
			own := l.line(place(h, lines))
			full, at := binary.LittleEndian.Uint32(own[lineSize-4:]) != 0, false
			for i := lineHead; i < lineSize; i += 4 {
				slot := binary.LittleEndian.Uint32(own[i:])
				_, is := l.recordIs(slot&(1<<l.placeBits-1), key, false)
				at = at || is && slot != 0
			}
			if full && !at {
				spilled++
				if !goneFurther(own, h) {
					t.Fatalf("%s of %d went on, and its own line does not say so", want.Name, n)
				}
			}
		}
	}
	if spilled == 0 {
		t.Error("no record went on: nothing was tested")
	}
}
