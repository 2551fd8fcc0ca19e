package ledger

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

// examples has one entry of every shape, with its encoding.
func examples() map[string]*Entry {
	salt := Salt{1, 2, 3}
	listing := uint64(0)
	document := "clauses: []\n"
	return map[string]*Entry{
		"a name and its subtree": listEntry("c2.evil.test", ScopeSubtree),
		"an odd name":            listEntry(`a\.b\032\255.e\$vil.test`, ScopeExact),
		"a prefix":               listPrefix("2001:db8::/32"),
		"a commitment": {
			Kind: KindList, Time: testTime, Scope: ScopeExact, Salt: salt,
			Commitment: Commit(salt, ScopeExact, "c2.evil.test"), Clause: "c2.sample",
			Policy: testDigest("policy"), Case: "case-7", Note: "Zwölf \"Boxkämpfer\"\n\tjagen \\ 障子",
			Evidence: []Evidence{{Source: "s", Kind: "c2"}, {Source: "t", Kind: "c2", Reference: "r"}},
		},
		"a delisting": delistEntry("c2.evil.test", ScopeSubtree),
		"a policy": {
			Kind: KindPolicy, Time: testTime, Policy: testDigest(document), Version: "1.0",
			Bytes: uint64(len(document)), Document: document, Title: "What malware is",
		},
		"a source": {
			Kind: KindSource, Time: testTime, Source: "maltrail", Group: "stamparm", Claims: []string{"c2", "phishing"},
			Status: "active", Location: "https://example.org/list", License: "MIT", Format: "maltrail", Interval: 3600,
		},
		"a case": {
			Kind: KindCase, Time: testTime, Case: "case-7", Status: "received", Scope: ScopePrefix,
			Prefix: netip.MustParsePrefix("192.0.2.0/25"), Listing: &listing, Cause: "false-positive",
		},
		"an epoch": epochEntry(0, 0),
	}
}

func TestRoundTrip(t *testing.T) {
	for name, e := range examples() {
		b, err := e.Marshal()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkCanonical(t, b)
		got, err := Parse(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: read back as %+v, %v; want %+v", name, got, err, e)
		}
	}
}

// checkCanonical holds an encoding against another implementation of RFC 8785.
func checkCanonical(t interface{ Errorf(string, ...any) }, b []byte) {
	if want, err := jcs.Transform(b); err != nil || string(want) != string(b) {
		t.Errorf("encoding %s\nRFC 8785 %s (%v)", b, want, err)
	}
}

// mutate changes the encoding of a plain listing and wants Parse to say why not.
func TestParseRefuses(t *testing.T) {
	b, err := listEntry("c2.evil.test", ScopeSubtree).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, says string }{
		{`{"clause"`, `{"cloud":"x","clause"`, `octet 1: unknown member "cloud"`},
		{`"kind":"list"`, `"kind":"ban"`, `unknown kind "ban"`},
		{`"kind":"list"`, `"kind":"list","kind":"list"`, `member "kind" is there twice`},
		{`"name":`, ` "name":`, `not canonical JSON`},
		{`{"clause"`, `{"version":"1","clause"`, `member "clause" is out of order`},
		{`"clause":"c2.two-sources"`, `"clause":"\u0063"`, `not the shortest`},
		{`"name":"c2.evil.test"`, `"name":"C2.evil.test"`, `upper-case`},
		{`"name":"c2.evil.test"`, `"name":"c2.evil.test."`, `ends in a dot`},
		{`"name":"c2.evil.test"`, `"name":"c2..test"`, `empty label`},
		{`"name":"c2.evil.test"`, `"name":"` + strings.Repeat("a", 64) + `"`, `a label over 63`},
		{`"name":"c2.evil.test"`, `"name":"` + strings.Repeat("abc.", 64) + `d"`, `over 255`},
		{`"name":"c2.evil.test"`, `"name":"a\\065"`, `not an escape that is needed`},
		{`"name":"c2.evil.test"`, `"name":"a\\-b"`, `not an escape that is needed`},
		{`"name":"c2.evil.test"`, `"name":"a b"`, `must be written \032`},
		{`"name":"c2.evil.test"`, `"name":"bücher.test"`, `must be written \195`},
		{`"name":"c2.evil.test",`, ``, `goes with member "name"`},
		{`"scope":"subtree"`, `"scope":"prefix"`, `goes with member "prefix" alone`},
		{`"scope":"subtree"`, `"scope":"all"`, `unknown scope`},
		{`,"scope":"subtree"`, ``, `member "scope" is missing`},
		{`"time":"2026-01-02T03:04:05Z"`, `"time":"2026-01-02T03:04:05.0Z"`, `not a time`},
		{`"time":"2026-01-02T03:04:05Z"`, `"time":"2026-02-30T03:04:05Z"`, `not a time`},
		{`"time":"2026-01-02T03:04:05Z"`, `"time":"2026-01-02t03:04:05Z"`, `not a time`},
		{`"time":"2026-01-02T03:04:05Z"`, `"time":"1926-01-02T03:04:05Z"`, `before 1970`},
		{`"time":`, `"title":"x","time":`, `out of order`},
		{`"05Z"}`, `"05Z","title":"x"}`, ``},
		{`"evidence":[{`, `"evidence":[{"colour":"red",`, `evidence": number 0: octet`},
		{`"family":"Emotet",`, `"family":"Emotet","family":"Emotet",`, `there twice`},
		{`"source":"blackbook"}`, `"source":"blackbook","kind":"c2"}`, `there twice`},
		{`"kind":"c2",`, ``, `member "kind" is missing`},
		{`"first":"2025-01-02T03:04:05Z"`, `"first":"2027-01-02T03:04:05Z"`, `after last seen`},
		{`"family":"Emotet"`, `"family":"Emo\ttet"`, `control character`},
		{`"family":"Emotet"`, `"family":""`, `empty`},
		{`"family":"Emotet"`, "\"family\":\"\xff\"", `not UTF-8`},
		{`"evidence":[{`, `"evidence":[],"x":[{`, `octet`},
		{`"policy":"`, `"policy":"A`, `not a digest`},
	} {
		bad := strings.Replace(string(b), c.old, c.new, 1)
		if c.says == "" {
			continue
		}
		if bad == string(b) {
			t.Errorf("%s is not in %s", c.old, b)
			continue
		}
		if _, err := Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s → %s: error %v, want one with %q", c.old, c.new, err, c.says)
		}
	}
	for n := range b {
		if _, err := Parse(b[:n]); err == nil {
			t.Errorf("the first %d octets passed", n)
		}
	}
	for _, s := range []string{"", "{}", "[]", "null", string(b) + "\n", string(b) + string(b), `{"kind":"list"}`} {
		if _, err := Parse([]byte(s)); err == nil {
			t.Errorf("%q passed", s)
		}
	}
}

func TestNumbers(t *testing.T) {
	e := epochEntry(MaxNumber, MaxNumber)
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	checkCanonical(t, b)
	for _, bad := range []string{"9007199254740992", "01", "-1", "1e3", "1.0", "18446744073709551617", `"1"`, ""} {
		s := strings.Replace(string(b), `"size":9007199254740991`, `"size":`+bad, 1)
		if _, err := Parse([]byte(s)); err == nil {
			t.Errorf("size %s passed", bad)
		}
	}
}

// Without the format of its list an epoch cannot be judged by who knows another one.
func TestLayouts(t *testing.T) {
	e := epochEntry(3, 1)
	e.Layout = MaxLayout
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	checkCanonical(t, b)
	if got, err := Parse(b); err != nil || got.Layout != MaxLayout {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", `"layout":0,`, `"layout":4294967296,`, `"layout":4294967297,`, `"layout":"1",`} {
		if _, err := Parse([]byte(strings.Replace(string(b), `"layout":4294967295,`, bad, 1))); err == nil || !strings.Contains(err.Error(), "layout") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := (&Entry{Kind: KindEpoch, Time: testTime, Digest: testDigest("list")}).Marshal(); err == nil {
		t.Error("an epoch without it was written")
	}
}

func TestPrefixes(t *testing.T) {
	b, err := listPrefix("192.0.2.0/24").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"192.0.2.1/24", "192.0.2.0/024", "192.0.2.0", "2001:DB8::/32", "2001:db8:0::/32", "::ffff:192.0.2.0/120", "192.0.2.0/33"} {
		s := strings.Replace(string(b), "192.0.2.0/24", bad, 1)
		if _, err := Parse([]byte(s)); err == nil {
			t.Errorf("prefix %s passed", bad)
		}
	}
}

func TestPolicyDocumentIsTheOneOfTheDigest(t *testing.T) {
	e := examples()["a policy"]
	e.Document += "#"
	if _, err := e.Marshal(); err == nil || !strings.Contains(err.Error(), "octets") {
		t.Errorf("another length: %v", err)
	}
	e.Bytes++
	if _, err := e.Marshal(); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("another digest: %v", err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	for name, change := range map[string]func(*Entry){
		"no kind":            func(e *Entry) { e.Kind = "" },
		"a foreign field":    func(e *Entry) { e.Version = "1" },
		"no evidence":        func(e *Entry) { e.Evidence = nil },
		"too much evidence":  func(e *Entry) { e.Evidence = make([]Evidence, MaxEvidence+1) },
		"not UTF-8":          func(e *Entry) { e.Note = "\xff" },
		"half a surrogate":   func(e *Entry) { e.Note = "\xed\xa0\x80" },
		"a fraction":         func(e *Entry) { e.Time = e.Time.Add(1) },
		"both name and more": func(e *Entry) { e.Prefix = netip.MustParsePrefix("192.0.2.0/24") },
		"host bits":          func(e *Entry) { e.Name, e.Scope, e.Prefix = "", ScopePrefix, netip.MustParsePrefix("192.0.2.1/24") },
		"a long token":       func(e *Entry) { e.Clause = strings.Repeat("a", MaxToken+1) },
		"a long text":        func(e *Entry) { e.Note = strings.Repeat("a", MaxText+1) },
	} {
		e := listEntry("c2.evil.test", ScopeSubtree)
		change(e)
		if b, err := e.AppendTo([]byte("x")); err == nil || string(b) != "x" {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

// TestStringsAreWrittenAsRFC8785 writes every sort of character.
func TestStringsAreWrittenAsRFC8785(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.Rune()).Draw(t, "s")
		b := append(appendString([]byte(`{"a":`), s), '}')
		checkCanonical(t, b)
		sc := scanner{b: b, i: len(`{"a":`)}
		if got, err := sc.text(); err != nil || string(got) != s {
			t.Errorf("%q is read as %q, %v", s, got, err)
		}
	})
}

func TestReadingAllocatesNothing(t *testing.T) {
	b, err := listEntry("c2.evil.test", ScopeSubtree).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var r record
	if n := testing.AllocsPerRun(100, func() {
		if err := r.read(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParse: what Parse takes is canonical by another implementation, is JSON
// to the standard library, and is written back as it was.
func FuzzParse(f *testing.F) {
	for _, e := range examples() {
		b, err := e.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"kind":"epoch","kind":"epoch"}`))
	f.Add([]byte(`{"note":"\u001f\b","kind":1e2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
		checkCanonical(t, b)
		back, err := e.Marshal()
		if err != nil || string(back) != string(b) {
			t.Fatalf("read %s\nwritten %s (%v)", b, back, err)
		}
	})
}

// FuzzName: what CheckName takes has one reading and one writing.
func FuzzName(f *testing.F) {
	for _, s := range []string{"a", "a.b", `a\.b`, `\000\255`, `\046`, "A", "a.", ".a", `a\`, `\04`, "_x-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) != nil {
			return
		}
		if back := foreignName(t, s); back != s {
			t.Errorf("%q is written back as %q", s, back)
		}
	})
}
