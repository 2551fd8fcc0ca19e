package dns

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

func TestTarget(t *testing.T) {
	www := MustName("www.example")
	for _, test := range []struct {
		t    Type
		data string
		want Name
	}{
		{TypeNS, string(www), www},
		{TypeCNAME, string(www), www},
		{TypeDNAME, string(www), www},
		{TypePTR, string(www), www},
		{TypeMX, "\x00\x0a" + string(www), www},
		{TypeSRV, "\x00\x01\x00\x02\x01\xbb" + string(www), www},
		{TypeHTTPS, "\x00\x01" + string(www), www},
		{TypeHTTPS, "\x00\x01\x00\x00\x03\x00\x02\x01\xbb", "\x05owner\x00"}, // "." in service mode
		{TypeSVCB, "\x00\x00\x00", Root},                                     // "." in alias mode
		{TypeA, "\xc0\x00\x02\x01", ""},
		{TypeTXT, "\x01a", ""},
		{TypeMX, "\x00", ""},
		{TypeNS, "\xc0\x0c", ""},
		{TypeNS, "\x03ww", ""},
	} {
		r := RR{MustName("owner"), test.t, ClassIN, 0, []byte(test.data)}
		if got, ok := r.Target(); got != test.want || ok != (test.want != "") {
			t.Errorf("%v: %v, %v", r, got, ok)
		}
	}
}

func TestAddrs(t *testing.T) {
	v4, v6 := "\xc0\x00\x02\x01", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	for _, test := range []struct {
		what string
		t    Type
		data string
		want string
	}{
		{"A", TypeA, v4, "192.0.2.1"},
		{"AAAA", TypeAAAA, v6, "2001:db8::1"},
		{"A of 5 octets", TypeA, v4 + "x", ""},
		{"AAAA of 4 octets", TypeAAAA, v4, ""},
		{"another type", TypeNULL, v4, ""},
		{"hints", TypeHTTPS, "\x00\x01\x00\x00\x01\x00\x03\x02h3\x00\x04\x00\x08" + v4 + "\xc0\x00\x02\x02\x00\x06\x00\x10" + v6,
			"192.0.2.1 192.0.2.2 2001:db8::1"},
		{"hints in alias mode", TypeSVCB, "\x00\x00\x01a\x00\x00\x04\x00\x04" + v4, "192.0.2.1"},
		{"no parameters", TypeHTTPS, "\x00\x01\x00", ""},
		{"hint of 5 octets", TypeHTTPS, "\x00\x01\x00\x00\x04\x00\x05" + v4 + "x", ""},
		{"empty hint", TypeHTTPS, "\x00\x01\x00\x00\x04\x00\x00", ""},
		{"hint beyond RDATA", TypeHTTPS, "\x00\x01\x00\x00\x04\x00\x08" + v4, ""},
		{"keys out of order", TypeHTTPS, "\x00\x01\x00\x00\x06\x00\x10" + v6 + "\x00\x04\x00\x04" + v4, ""},
		{"key twice", TypeHTTPS, "\x00\x01\x00\x00\x04\x00\x04" + v4 + "\x00\x04\x00\x04" + v4, ""},
		{"rubbish after a hint", TypeHTTPS, "\x00\x01\x00\x00\x04\x00\x04" + v4 + "\x00", ""},
		{"no target", TypeHTTPS, "\x00\x01", ""},
	} {
		var got []string
		for a := range (RR{Root, test.t, ClassIN, 0, []byte(test.data)}).Addrs() {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v", test.what, got)
		}
	}
	for a := range (RR{Root, TypeHTTPS, ClassIN, 0, []byte("\x00\x01\x00\x00\x04\x00\x08" + v4 + v4)}).Addrs() {
		if a != netip.MustParseAddr("192.0.2.1") {
			t.Error(a)
		}
		break
	}
}

// TestCanonical checks RFC 4034 §6.2 as RFC 6840 §5.1 corrects it: which names of
// which types are put into lower case.
func TestCanonical(t *testing.T) {
	name := "\x01A\x01B\x00"
	lowered := "\x01a\x01b\x00"
	pad := func(n int) string { return strings.Repeat("Z", n) }
	for _, test := range []struct {
		t          Type
		data, want string
	}{
		{TypeNS, name, lowered},
		{TypeCNAME, name, lowered},
		{TypePTR, name, lowered},
		{TypeDNAME, name, lowered},
		{TypeSOA, name + name + pad(20), lowered + lowered + pad(20)},
		{TypeMINFO, name + name, lowered + lowered},
		{TypeRP, name + name, lowered + lowered},
		{TypeMX, "ZZ" + name, "ZZ" + lowered},
		{TypeAFSDB, "ZZ" + name, "ZZ" + lowered},
		{TypeKX, "ZZ" + name, "ZZ" + lowered},
		{TypePX, "ZZ" + name + name, "ZZ" + lowered + lowered},
		{TypeSRV, "ZZZZZZ" + name, "ZZZZZZ" + lowered},
		{TypeNAPTR, "ZZZZ\x01U\x03SIP\x00" + name, "ZZZZ\x01U\x03SIP\x00" + lowered},
		{TypeRRSIG, pad(18) + name + "SIGNATURE", pad(18) + lowered + "SIGNATURE"},
		{TypeNSEC, name + "\x00\x01\x40", name + "\x00\x01\x40"}, // RFC 6840 §5.1
		{TypeSVCB, "\x00\x01" + name, "\x00\x01" + name},         // RFC 9460 §2.2
		{TypeHINFO, "\x01Z\x01Z", "\x01Z\x01Z"},
		{TypeTXT, "\x04TEXT", "\x04TEXT"},
		{65280, name, name}, // RFC 3597 §7
		{TypeMX, "Z", "Z"},
		{TypeSOA, name, lowered},
	} {
		if got := AppendCanonicalData(nil, test.t, []byte(test.data)); string(got) != test.want {
			t.Errorf("%v: %q, want %q", test.t, got, test.want)
		}
	}
	r := RR{MustName("A.b"), TypeMX, ClassIN, 7, []byte("\x00\x0a" + name)}
	want := "0161016200" + "000f" + "0001" + "00000e10" + "0007" + "000a" + "0161016200"
	if got := r.AppendCanonical([]byte{0xAA}, 3600); hex.EncodeToString(got) != "aa"+want {
		t.Errorf("%x", got)
	}
	if string(r.Data) != "\x00\x0a"+name {
		t.Error("the record itself was changed")
	}
}

func TestCovered(t *testing.T) {
	sig := RR{Type: TypeRRSIG, Data: []byte{0, byte(TypeDS), 13}}
	if sig.Covered() != TypeDS || (RR{Type: TypeRRSIG, Data: []byte{0}}).Covered() != 0 || (RR{Type: TypeDS, Data: sig.Data}).Covered() != 0 {
		t.Error(sig.Covered())
	}
}

// TestText has RDATA that does not match its type, and what has no text form.
func TestText(t *testing.T) {
	for _, test := range []struct {
		t    Type
		data string
		want string
	}{
		{TypeA, "abc", `\# 3 616263`},
		{TypeNS, "\xc0\x0c", `\# 2 C00C`},
		{TypeTXT, "", `\# 0`},
		{TypeTXT, "\x02a\"\x00", `"a\"" ""`},
		{TypeNSEC, "\x00\x00\x00", `\# 3 000000`},
		{TypeHTTPS, "\x00\x01\x00\x00\x01\x00\x00", `1 . key1`},
		{TypeHTTPS, "\x00\x01\x00\x00\x01\x00\x02\x01,", `1 . key1="\001,"`},
		{TypeHTTPS, "\x00\x01\x00\x00\x02\x00\x00\x00\x07\x00\x02/q\xff\xff\x00\x00", `1 . no-default-alpn dohpath="/q" key65535`},
		{TypeNULL, "ab", `\# 2 6162`},
	} {
		r := RR{MustName("x"), test.t, ClassIN, 1, []byte(test.data)}
		if got, want := r.String(), "x.\t1\tIN\t"+test.t.String()+"\t"+test.want; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

// TestMnemonics reads back every number's name.
func TestMnemonics(t *testing.T) {
	for n := range 1 << 16 {
		if back, err := ParseType(Type(n).String()); err != nil || back != Type(n) {
			t.Fatalf("type %d: %v, %v", n, back, err)
		}
		if back, err := ParseClass(strings.ToLower(Class(n).String())); err != nil || back != Class(n) {
			t.Fatalf("class %d: %v, %v", n, back, err)
		}
	}
	for _, s := range []string{"", "TYPE", "TYPE65536", "TYPE-1", "BOGUS", "CLASS"} {
		if got, err := ParseType(s); err == nil {
			t.Errorf("type %q is %v", s, got)
		}
		if got, err := ParseClass(s); err == nil {
			t.Errorf("class %q is %v", s, got)
		}
	}
	if got := (FlagQR | FlagAA | FlagTC | FlagRD | FlagRA | FlagAD | FlagCD).String(); got != "qr aa tc rd ra ad cd" {
		t.Error(got)
	}
	f := Flags(0).WithOpcode(OpcodeNotify).WithRCode(RCodeRefused)
	if f != 0x2005 || f.Opcode() != OpcodeNotify || f.RCode() != RCodeRefused {
		t.Errorf("%x", f)
	}
	codes := []string{RCodeBadVers.String(), RCode(99).String(), OpcodeUpdate.String(), Opcode(9).String(), ErrorCode(99).String()}
	if !slices.Equal(codes, []string{"BADVERS", "RCODE99", "UPDATE", "OPCODE9", "EDE99"}) {
		t.Error(codes)
	}
	for n, theirs := range mdns.ExtendedErrorCodeToString {
		if got := ErrorCode(n).String(); n != 0 && !strings.EqualFold(got, theirs) {
			t.Errorf("extended error %d is %q, to miekg/dns %q", n, got, theirs)
		}
	}
	for n, theirs := range mdns.TypeToString {
		if got := Type(n).String(); got != theirs && !strings.HasPrefix(got, "TYPE") && theirs != "None" {
			t.Errorf("type %d is %q, to miekg/dns %q", n, got, theirs)
		}
	}
	for n, theirs := range mdns.RcodeToString {
		if got := RCode(n).String(); got != theirs && !strings.HasPrefix(got, "RCODE") && n != mdns.RcodeBadVers {
			t.Errorf("response code %d is %q, to miekg/dns %q", n, got, theirs)
		}
	}
	if !TypeANY.IsMeta() || !TypeOPT.IsMeta() || TypeA.IsMeta() || TypeURI.IsMeta() {
		t.Error("meta types")
	}
}
