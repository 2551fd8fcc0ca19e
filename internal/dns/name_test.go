package dns

import (
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

func TestParseName(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	// Three labels of 63 octets and one of 61: 4×1 + 3×63 + 61 + 1 = 255 octets.
	longest := strings.Repeat(label63+".", 3) + strings.Repeat("a", 61)
	for _, test := range []struct{ text, wire, back string }{
		{".", "\x00", "."},
		{"org", "\x03org\x00", "org."},
		{"www.Example.org.", "\x03www\x07Example\x03org\x00", "www.Example.org."},
		{`a\.b.c`, "\x03a.b\x01c\x00", `a\.b.c.`},
		{`\097\000\255.x`, "\x03a\x00\xff\x01x\x00", `a\000\255.x.`},
		{`\\\"\(\).x`, "\x04\\\"()\x01x\x00", `\\\"\(\).x.`},
		{`a\032b.x`, "\x03a b\x01x\x00", `a\032b.x.`},
		{"_443._tcp.x", "\x04_443\x04_tcp\x01x\x00", "_443._tcp.x."},
		{longest, strings.Repeat("\x3f"+label63, 3) + "\x3d" + strings.Repeat("a", 61) + "\x00", longest + "."},
		{strings.Repeat("a.", 127), strings.Repeat("\x01a", 127) + "\x00", strings.Repeat("a.", 127)},
	} {
		n, err := ParseName(test.text)
		if err != nil || string(n) != test.wire || n.String() != test.back {
			t.Errorf("ParseName(%q) = %q, %v; String %q", test.text, string(n), err, n.String())
		}
	}
	for _, text := range []string{
		"", "..", ".a", "a..b", "a..", `a\`, `a\1`, `a\12`, `a\1x2`, `a\256`, "a b", "a\tb", "ü.de", "\x7f",
		label63 + "a", longest + "a", longest + ".a", strings.Repeat("a.", 128),
	} {
		if n, err := ParseName(text); err == nil {
			t.Errorf("ParseName(%q) = %q, want an error", text, string(n))
		}
	}
}

func TestNameRelations(t *testing.T) {
	www := MustName("www.Example.org")
	if got := www.Canonical(); got != MustName("www.example.org") {
		t.Errorf("Canonical: %v", got)
	}
	if www.Labels() != 3 || Root.Labels() != 0 || Name("").Labels() != 0 {
		t.Error("Labels")
	}
	if www.Parent() != MustName("Example.org") || Root.Parent() != Root || MustName("org").Parent() != Root {
		t.Error("Parent")
	}
	for labels, want := range []string{".", "org.", "Example.org.", "www.Example.org.", "www.Example.org."} {
		if got := www.Suffix(labels); got.String() != want {
			t.Errorf("Suffix(%d) = %v", labels, got)
		}
	}
	for _, test := range []struct {
		name, zone string
		below      bool
	}{
		{"www.example.org", "EXAMPLE.org", true},
		{"example.org", "example.org", true},
		{"example.org", ".", true},
		{".", ".", true},
		{".", "org", false},
		{"badexample.org", "example.org", false},
		{"example.org", "www.example.org", false},
		{`a\003org`, "org", false}, // the octets of "org." end the label, not the name
	} {
		if got := MustName(test.name).IsSubdomainOf(MustName(test.zone)); got != test.below {
			t.Errorf("%s below %s: %v", test.name, test.zone, got)
		}
	}
	if www.IsSubdomainOf("") {
		t.Error("below no name")
	}
}

// TestCompare sorts the example of RFC 4034 §6.1.
func TestCompare(t *testing.T) {
	want := []Name{}
	for _, s := range []string{"example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE",
		"z.example", `\001.z.example`, "*.z.example", `\200.z.example`} {
		want = append(want, MustName(s))
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Name.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if MustName("A.b").Compare(MustName("a.B")) != 0 || Root.Compare(MustName("a")) >= 0 {
		t.Error("case, or the root")
	}
}

func TestChild(t *testing.T) {
	n, err := MustName("example.org").Child("*")
	if err != nil || n != MustName("*.example.org") {
		t.Errorf("%v, %v", n, err)
	}
	long := MustName(strings.Repeat("a.", 127))
	for _, test := range []struct {
		parent Name
		label  string
	}{{Root, ""}, {Root, strings.Repeat("a", 64)}, {long, "a"}, {"", "a"}} {
		if n, err := test.parent.Child(test.label); err == nil {
			t.Errorf("%q.Child(%q) = %v", string(test.parent), test.label, n)
		}
	}
}

// TestLowerWord compares the eight-octet form with the plain one, for every octet at
// every place.
func TestLowerWord(t *testing.T) {
	for at := range 8 {
		for c := range 256 {
			w := uint64(c)<<(8*at) | 0x5A<<(8*((at+1)%8)) // with a Z beside it
			want := uint64(lowerOctet(byte(c)))<<(8*at) | 0x7A<<(8*((at+1)%8))
			if got := lowerWord(w); got != want {
				t.Fatalf("lowerWord(%#x) = %#x, want %#x", w, got, want)
			}
		}
	}
}

// namePacket puts wire octets behind a header's length of zeros, where names begin.
func namePacket(wire string) []byte { return append(make([]byte, headerLen), wire...) }

// TestUnpackName has the anti-patterns of RFC 9267.
func TestUnpackName(t *testing.T) {
	long := strings.Repeat("\x01a", 126)
	for _, test := range []struct {
		what, wire string
		off        int
		want       Name
		next       int
		err        Error
	}{
		{what: "plain", wire: "\x01a\x00", want: "\x01a\x00", next: 3},
		{what: "pointer back", wire: "\x01a\x00\x01b\xc0\x0c", off: 3, want: "\x01b\x01a\x00", next: 7},
		{what: "pointer to the root", wire: "\x00\xc0\x0c", off: 1, want: Root, next: 3},
		{what: "pointer to a pointer", wire: "\x01a\x00\xc0\x0c\x01b\xc0\x0f", off: 5, want: "\x01b\x01a\x00", next: 9},
		{what: "pointer to itself (§2)", wire: "\xc0\x0c", err: ErrPointer},
		{what: "pointer to its own label (§2)", wire: "\x01a\xc0\x0c", err: ErrPointer},
		{what: "pointer between its own labels (§2)", wire: "\x01a\x01b\xc0\x0e", err: ErrPointer},
		{what: "pointer forward (§2)", wire: "\xc0\x0e\x01a\x00", err: ErrPointer},
		{what: "two pointers in a loop (§2)", wire: "\xc0\x0e\xc0\x0c", off: 2, err: ErrPointer},
		{what: "pointer into the header", wire: "\x01a\xc0\x02", err: ErrPointer},
		{what: "pointer beyond the packet (§2)", wire: "\xff\xff", err: ErrPointer},
		{what: "half a pointer", wire: "\x01a\xc0", err: ErrShort},
		{what: "label beyond the packet (§3)", wire: "\x3fa", err: ErrShort},
		{what: "no terminator (§4)", wire: "\x01a", err: ErrShort},
		{what: "nothing at all", wire: "", err: ErrShort},
		{what: "label type 01", wire: "\x41a\x00", err: ErrLabel},
		{what: "label type 10", wire: "\x81a\x00", err: ErrLabel},
		{what: "255 octets", wire: long + "\x01a\x00", want: Name(long + "\x01a\x00"), next: 255},
		{what: "256 octets (§3)", wire: long + "\x02aa\x00", err: ErrNameLength},
		{what: "256 octets by a pointer (§3)", wire: long + "\x00\x02bb\xc0\x0c", off: 253, err: ErrNameLength},
	} {
		var buf [MaxName]byte
		n, next, err := unpackName(namePacket(test.wire), headerLen+test.off, &buf)
		if err != test.err || err == 0 && (Name(buf[:n]) != test.want || next != headerLen+test.next) {
			t.Errorf("%s: %q, %d, %v", test.what, buf[:n], next, err)
		}
	}
}

// TestHops follows as many pointers as a name of one-octet labels can need, and one more.
func TestHops(t *testing.T) {
	packet := namePacket("\x00")
	at := headerLen
	for range maxHops {
		next := len(packet)
		packet = append(packet, 0xC0|byte(at>>8), byte(at))
		at = next
	}
	var buf [MaxName]byte
	if _, _, err := unpackName(packet, at, &buf); err != 0 {
		t.Errorf("%d hops: %v", maxHops, err)
	}
	packet = append(packet, 0xC0|byte(at>>8), byte(at))
	if _, _, err := unpackName(packet, len(packet)-2, &buf); err != ErrPointer {
		t.Errorf("%d hops: %v", maxHops+1, err)
	}
}

// FuzzName reads names from both forms and compares with miekg/dns.
func FuzzName(f *testing.F) {
	for _, s := range []string{"www.example.org", `a\.b\032.c`, "\x01a\x00\x01b\xc0\x0c", "\xc0\x0c", "\xc0\x0e\xc0\x0c",
		"\x3fa", "\x01a", strings.Repeat("\x01a", 128), strings.Repeat("\xc0\x0c", 40)} {
		f.Add(s, "example.org", uint16(0))
		f.Add(s, s, uint16(3))
	}
	f.Fuzz(func(t *testing.T, s, z string, off uint16) {
		checkNameText(t, s, z)
		packet := namePacket(s)
		if int(off) >= len(s) {
			return
		}
		var buf [MaxName]byte
		n, next, err := unpackName(packet, headerLen+int(off), &buf)
		theirs, theirNext, theirErr := mdns.UnpackDomainName(packet, headerLen+int(off))
		if err != 0 {
			// miekg/dns follows pointers forward and into the header.
			if theirErr == nil && err != ErrPointer {
				t.Fatalf("refused with %v what miekg/dns reads as %q", err, theirs)
			}
			return
		}
		name := Name(buf[:n])
		if m, ok := nameLen(name); !ok || m != n {
			t.Fatalf("malformed %q", name)
		}
		if skip, ok := skipName(packet, headerLen+int(off)); !ok || skip != next {
			t.Fatalf("skipName: %d, %v; want %d", skip, ok, next)
		}
		if theirErr != nil || theirNext != next || !sameText(name, theirs) {
			t.Fatalf("read %v, %d; miekg/dns %q, %d, %v", name, next, theirs, theirNext, theirErr)
		}
	})
}

// sameText compares a name with miekg/dns's text of one, which escapes other octets.
func sameText(n Name, text string) bool {
	var wire [MaxName + 1]byte
	size, err := mdns.PackDomainName(text, wire[:], 0, nil, false)
	return err == nil && string(n) == string(wire[:size])
}

// checkNameText checks what holds for all names in presentation form.
func checkNameText(t *testing.T, s, z string) {
	n, err := ParseName(s)
	if err != nil {
		return
	}
	if back, err := ParseName(n.String()); err != nil || back != n {
		t.Fatalf("%q read as %q, written as %s, read as %q, %v", s, string(n), n, string(back), err)
	}
	if !sameText(n, mdns.Fqdn(s)) || !sameText(n, n.String()) {
		t.Fatalf("miekg/dns reads %q in another way than %q", s, string(n))
	}
	if c := n.Canonical(); !c.Equal(n) || c.Compare(n) != 0 || string(c) != asciiLower(string(n)) {
		t.Fatalf("canonical form of %v is %v", n, c)
	}
	if n.Suffix(n.Labels()) != n || n.Suffix(0) != Root || n != Root && !n.IsSubdomainOf(n.Parent()) {
		t.Fatalf("suffixes of %v", n)
	}
	m, err := ParseName(z)
	if err != nil {
		return
	}
	if n.Compare(m) != -m.Compare(n) || (n.Compare(m) == 0) != n.Equal(m) {
		t.Fatalf("order of %v and %v", n, m)
	}
	if got, want := n.IsSubdomainOf(m), n.Suffix(m.Labels()).Equal(m); got != want {
		t.Fatalf("%v below %v: %v, want %v", n, m, got, want)
	}
}

// asciiLower is the lower case octet by octet.
func asciiLower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lowerOctet(b[i])
	}
	return string(b)
}
