package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// mapSubject is the i-th of many subjects: names of some groups, and prefixes.
func mapSubject(i int) Listing {
	switch i % 7 {
	case 0:
		return Listing{Name: fmt.Sprintf("n%d.example", i), Scope: ScopeExact}
	case 1:
		return Listing{Name: fmt.Sprintf("n%d.example", i), Scope: ScopeSubtree}
	case 2:
		return Listing{Name: fmt.Sprintf("n%d.shared.example", i), Scope: ScopeExact}
	case 3:
		return Listing{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, byte(i % 3), byte(i >> 8), byte(i)}), 32), Scope: ScopePrefix}
	case 4:
		return Listing{Prefix: netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/48", i)), Scope: ScopePrefix}
	case 5:
		return Listing{Name: fmt.Sprintf("wide%d", i), Scope: ScopeSubtree}
	}
	return Listing{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 5), byte(i << 3)}), 13), Scope: ScopePrefix}
}

// keyOfListing is the key of a listing, as a question would have it.
func keyOfListing(l Listing) MapKey {
	if l.Scope == ScopePrefix {
		return prefixKeyOf(l.Prefix)
	}
	return nameKeyOf(Salt{}, l.Scope, l.Name)
}

func buildMap(t testing.TB, size uint64, salts []Salt, listed map[Listing]uint64, hidden []Commitment) []byte {
	t.Helper()
	var b MapBuilder
	for l, entry := range listed {
		l.Entry = entry
		b.Add(l)
	}
	for _, c := range hidden {
		b.AddCommitment(c)
	}
	var out bytes.Buffer
	if _, err := b.Build(&out, size, salts); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func openMap(t testing.TB, file []byte) *Map {
	t.Helper()
	m, err := OpenMap(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ask reads the page of a key over the map as a Source, and holds its proof against it.
func ask(t testing.TB, m *Map, k MapKey) (uint64, bool) {
	t.Helper()
	h, err := ReadMapHead(context.Background(), m, m.Root())
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadMapPage(context.Background(), m, h, h.Page(k))
	if err != nil {
		t.Fatal(err)
	}
	entry, ok := p.Find(k)
	gotEntry, gotOK, err := h.CheckMapProof(k, p.Prove(k))
	if err != nil || gotEntry != entry || gotOK != ok {
		t.Fatalf("the proof says %d, %v, %v; the page says %d, %v", gotEntry, gotOK, err, entry, ok)
	}
	return entry, ok
}

func TestMapAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 17, 300, 1023, 1024, 1030, 5000}).Draw(t, "n")
		listed := map[Listing]uint64{}
		for i := range n {
			listed[mapSubject(i)] = uint64(2 * i)
		}
		file := rebuild(t, listed, 1)
		m, err := OpenMap(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Head().Count != uint64(len(listed)) || m.Check(func() {}) != nil {
			t.Fatalf("%d listings, %v", m.Head().Count, m.Check(func() {}))
		}
		var changes MapBuilder // some go, some come, some move to a later entry
		for i, gone := range rapid.MapOf(rapid.IntRange(0, n+40), rapid.Bool()).Draw(t, "changes") {
			if l := mapSubject(i); gone {
				delete(listed, l)
				changes.Remove(l)
			} else {
				listed[l] = uint64(100_000 + i)
				l.Entry = listed[l]
				changes.Add(l)
			}
		}
		var merged bytes.Buffer
		root, err := changes.Merge(&merged, m, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		whole := rebuild(t, listed, 2)
		if !bytes.Equal(merged.Bytes(), whole) {
			t.Fatalf("merged and built anew differ, %d and %d octets", merged.Len(), len(whole))
		}
		if m, err = OpenMap(bytes.NewReader(whole), int64(len(whole))); err != nil || m.Root() != root {
			t.Fatal(err, m.Root(), root)
		}
	})
}

func rebuild(t *rapid.T, listed map[Listing]uint64, size uint64) []byte {
	var b MapBuilder
	for l, entry := range listed {
		l.Entry = entry
		b.Add(l)
	}
	var out bytes.Buffer
	if _, err := b.Build(&out, size, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestMapAnswers(t *testing.T) {
	listed := map[Listing]uint64{}
	for i := range 6000 {
		listed[mapSubject(i)] = uint64(i)
	}
	m := openMap(t, buildMap(t, 9, nil, listed, nil))
	if m.Head().Pages() != 8 {
		t.Errorf("%d pages of %d listings", m.Head().Pages(), m.Head().Count)
	}
	for i := 0; i < 8000; i += 11 {
		l := mapSubject(i)
		entry, known := listed[l]
		if got, ok := ask(t, m, keyOfListing(l)); ok != known || got != entry {
			t.Fatalf("%+v: entry %d, %v; want %d, %v", l, got, ok, entry, known)
		}
	}
}

// TestMapProofsThatLie alters each part of a proof, and each wants to be noticed.
func TestMapProofsThatLie(t *testing.T) {
	listed := map[Listing]uint64{}
	for i := range 6000 {
		listed[mapSubject(i)] = uint64(i)
	}
	m := openMap(t, buildMap(t, 9, nil, listed, nil))
	h := m.Head()
	l := mapSubject(14)
	k := keyOfListing(l)
	b, err := m.Page(h.Page(k))
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.OpenPage(h.Page(k), b)
	if err != nil {
		t.Fatal(err)
	}
	proof := p.Prove(k)
	if entry, ok, err := h.CheckMapProof(k, proof); err != nil || !ok || entry != 14 {
		t.Fatal(entry, ok, err)
	}
	for i := range proof {
		bad := bytes.Clone(proof)
		bad[i] ^= 1
		if _, _, err := h.CheckMapProof(k, bad); err == nil {
			t.Errorf("octet %d of %d may be altered", i, len(proof))
		}
	}
	for n := range proof {
		if _, _, err := h.CheckMapProof(k, proof[:n]); err == nil {
			t.Errorf("%d octets of %d are taken for a proof", n, len(proof))
		}
	}
	if _, _, err := h.CheckMapProof(k, append(bytes.Clone(proof), proof[len(proof)-recordOctets:]...)); err == nil {
		t.Error("a record may be added")
	}
	other := k
	other[14] ^= 0x80 // another page
	if _, _, err := h.CheckMapProof(other, proof); err == nil {
		t.Error("the proof of one page is taken for another")
	}
	other = k
	other[0] ^= 0x80 // another bucket
	if _, _, err := h.CheckMapProof(other, proof); err == nil {
		t.Error("the proof of one bucket is taken for another")
	}
	for i := 0; i < len(b); i += 7 { // prime to the 24 octets of a record
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := h.OpenPage(h.Page(k), bad); err == nil {
			t.Fatalf("octet %d of a page may be altered", i)
		}
	}
	if _, err := h.OpenPage(h.Page(k)^1, b); err == nil {
		t.Error("a page is taken for another")
	}
}

func TestMapProbes(t *testing.T) {
	plain := &MapHead{Count: 1 << 20}
	salted := &MapHead{Count: 1 << 20, Wide: 1, Salts: []Salt{{1}, {2}}}
	texts := func(ps []Probe) string {
		var out []string
		for _, p := range ps {
			mark := ""
			if !p.Salt.IsZero() {
				mark = hex.EncodeToString(p.Salt[:1])
			}
			out = append(out, mark+string(p.Scope[:1])+":"+p.Subject)
		}
		return strings.Join(out, " ")
	}
	ps, err := plain.NameProbes("a.b.example")
	if got := texts(ps); err != nil || got != "e:a.b.example s:a.b.example s:b.example" {
		t.Errorf("%s, %v", got, err)
	}
	if pages := plain.ProbePages(ps); len(pages) != 1 {
		t.Errorf("a look-up shows pages %v", pages)
	}
	ps, _ = salted.NameProbes("b.example")
	if got := texts(ps); got != "e:b.example 01e:b.example 02e:b.example s:b.example 01s:b.example 02s:b.example s:example" {
		t.Error(got)
	}
	if ps, _ = plain.NameProbes("example"); len(ps) != 0 {
		t.Error(texts(ps))
	}
	if _, err := plain.NameProbes("Example."); err == nil {
		t.Error("a name in another form is looked up")
	}
	ps = plain.PrefixProbes(netip.MustParsePrefix("::ffff:192.0.2.7/128"))
	if len(ps) != 17 || ps[0].Subject != "192.0.2.7/32" || ps[16].Subject != "192.0.0.0/16" || len(plain.ProbePages(ps)) != 1 {
		t.Error(texts(ps), plain.ProbePages(ps))
	}
	if ps = plain.PrefixProbes(netip.MustParsePrefix("2001:db8::1/128")); len(ps) != 97 || len(plain.ProbePages(ps)) != 1 {
		t.Error(len(ps))
	}
	if ps = salted.PrefixProbes(netip.MustParsePrefix("192.0.2.7/32")); len(ps) != 33 || ps[32].Subject != "0.0.0.0/0" {
		t.Error(texts(ps))
	}
	for name, want := range map[string]string{
		"example": "example", "b.example": "b.example", "a.b.example": "b.example", `a.b\.c.example`: `b\.c.example`,
		`x.a\\.example`: `a\\.example`, `a\..b\.`: `a\..b\.`, `\046x.y.z`: "y.z",
	} {
		if got := nameGroup(name); got != want {
			t.Errorf("group of %s: %s", name, got)
		}
	}
}

// TestMapOfCommitments finds committed names by their salts, and in the page of their group.
func TestMapOfCommitments(t *testing.T) {
	salt := Salt{7}
	c := Commitment{Commit(salt, ScopeSubtree, "secret.example"), salt, ScopeSubtree, 3}
	listed := map[Listing]uint64{}
	for i := range 3000 {
		listed[mapSubject(i)] = uint64(10 + i)
	}
	m := openMap(t, buildMap(t, 9, []Salt{salt}, listed, []Commitment{c}))
	ps, err := m.Head().NameProbes("www.secret.example")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range ps {
		if entry, ok := ask(t, m, p.Key); ok {
			if found++; entry != 3 || p.Salt != salt || p.Scope != ScopeSubtree || p.Subject != "secret.example" {
				t.Errorf("%+v is listed by %d", p, entry)
			}
		}
		if parentName(p.Subject) != "" && m.Head().Page(p.Key) != m.Head().Page(ps[0].Key) {
			t.Errorf("%+v is in another page", p)
		}
	}
	if found != 1 {
		t.Errorf("found %d times", found)
	}
}

func TestMapFileThatIsDamaged(t *testing.T) {
	listed := map[Listing]uint64{}
	for i := range 3000 {
		listed[mapSubject(i)] = uint64(i)
	}
	file := buildMap(t, 9, nil, listed, nil)
	damaged := func(b []byte) bool {
		m, err := OpenMap(bytes.NewReader(b), int64(len(b)))
		return err != nil || m.Check(func() {}) != nil
	}
	if damaged(file) {
		t.Fatal("the whole file counts as damaged")
	}
	for i := 0; i < len(file); i += 97 {
		bad := bytes.Clone(file)
		bad[i] ^= 0x10
		if !damaged(bad) {
			m := openMap(t, bad)
			if m.Root() == openMap(t, file).Root() {
				t.Fatalf("octet %d may be altered", i)
			}
		}
	}
	for _, n := range []int{0, 10, 100, len(file) - 1} {
		if !damaged(file[:n]) {
			t.Errorf("%d octets are taken for the file", n)
		}
	}
}

func TestMapPaths(t *testing.T) {
	root := testDigest("map")
	m := openMap(t, buildMap(t, 9, nil, nil, nil))
	for _, path := range []string{MapHeadPath(root), MapPagePath(root, 0), MapPagePath(root, 65535)} {
		if r, _, ok := ParseMapPath(path); !ok || r != root {
			t.Errorf("%s is not read", path)
		}
		if _, err := m.Read(context.Background(), path, 1000); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of another map: %v", path, err)
		}
	}
	for _, bad := range []string{"map/", "map/x/head", "map/" + root.String(), MapPagePath(root, 65536), MapPagePath(root, 0) + "/", "map/" + root.String() + "/01", "map/" + root.String() + "/-1", "tile/0/000"} {
		if _, _, ok := ParseMapPath(bad); ok {
			t.Errorf("%s is read", bad)
		}
	}
}

// TestStateMap: the map of a replayed log is that of its listings and commitments.
func TestStateMap(t *testing.T) {
	l := newMemoryLog(t, 1)
	salt := Salt{9}
	hidden := listEntry("", ScopeSubtree)
	hidden.Salt, hidden.Commitment = salt, Commit(salt, ScopeSubtree, "secret.example")
	l.add(listEntry("a.example", ScopeExact), hidden, listEntry("b.example", ScopeExact), listPrefix("192.0.2.0/24"), delistEntry("b.example", ScopeExact))
	var out bytes.Buffer
	s := mustReplay(t, l)
	root, err := s.Map(&out)
	if err != nil {
		t.Fatal(err)
	}
	want := buildMap(t, s.Size(), []Salt{salt}, map[Listing]uint64{
		{Name: "a.example", Scope: ScopeExact}: 0, {Prefix: netip.MustParsePrefix("192.0.2.0/24"), Scope: ScopePrefix}: 3,
	}, []Commitment{{hidden.Commitment, salt, ScopeSubtree, 1}})
	if !bytes.Equal(out.Bytes(), want) || openMap(t, want).Root() != root {
		t.Errorf("%q, want %q", out.Bytes(), want)
	}
}

// FuzzMap feeds the readers of what strangers serve: none panics, a head that is read is the
// one text of itself, and what opens as a page of a real map is that page.
func FuzzMap(f *testing.F) {
	listed := map[Listing]uint64{}
	for i := range 3000 {
		listed[mapSubject(i)] = uint64(i)
	}
	m := openMap(f, buildMap(f, 9, []Salt{{1}}, listed, nil))
	h := m.Head()
	k := keyOfListing(mapSubject(14))
	page, err := m.Page(h.Page(k))
	if err != nil {
		f.Fatal(err)
	}
	p, err := h.OpenPage(h.Page(k), page)
	if err != nil {
		f.Fatal(err)
	}
	small := buildMap(f, 1, nil, map[Listing]uint64{mapSubject(0): 0}, nil)
	for _, seed := range [][]byte{h.Text(), page, p.Prove(k), small, []byte(MapPagePath(m.Root(), 3)), {}} {
		f.Add(seed, uint16(h.Page(k)))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		if head, err := ParseMapHead(b); err == nil {
			if !bytes.Equal(head.Text(), b) || head.Pages() < 1 || head.Page(k) >= head.Pages() {
				t.Errorf("%q is read as %+v", b, head)
			}
			head.OpenPage(0, page)
			head.CheckMapProof(k, page)
		}
		if root, at, ok := ParseMapPath(string(b)); ok && at >= 0 && MapPagePath(root, at) != string(b) {
			t.Errorf("%q is read as %s, %d", b, root, at)
		}
		if _, err := h.OpenPage(int(n), b); err == nil {
			if want, err := m.Page(int(n)); err != nil || !bytes.Equal(b, want) {
				t.Errorf("page %d opens from other octets", n)
			}
		}
		if entry, ok, err := h.CheckMapProof(k, b); err == nil && (!ok || entry != 14) {
			t.Errorf("a proof says %d, %v", entry, ok)
		}
		if file, err := OpenMap(bytes.NewReader(b), int64(len(b))); err == nil {
			if file.Check(func() {}) == nil && file.Head().Count > 0 {
				for i := range file.Head().Pages() {
					if _, err := file.Page(i); err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
}
