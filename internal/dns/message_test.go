package dns

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// hexReply is the answer of an authoritative server to "alias.example. MX", DO set:
// a CNAME, the MX at its end with its RRSIG, a name server and its address.
const hexReply = "beef 8500 0001 0003 0001 0002" +
	"05616c696173 076578616d706c65 00 000f 0001" + // 12: alias 18: example
	"c00c 0005 0001 00000e10 0007 046d61696c c012" + // 43: mail.example
	"c02b 000f 0001 0000003c 0009 000a 046d783031 c012" + // 64: mx01.example
	"c02b 002e 0001 0000003c 0020 000f 08 02 0000003c 60000000 5f000000 1234 076578616d706c65 00 0badcafe e0" +
	"c012 0002 0001 00015180 0002 c040" +
	"c040 0001 0001 00015180 0004 c0000235" +
	"00 0029 04d0 0000 8000 0006 000f 0002 0003"

func TestUnpack(t *testing.T) {
	packet := unhex(t, hexReply)
	var m Message
	if err := m.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	clear(packet) // Unpack keeps nothing of it
	if m.ID != 0xBEEF || m.Flags != FlagQR|FlagAA|FlagRD || m.RCode != RCodeSuccess {
		t.Errorf("header: %x %v %v", m.ID, m.Flags, m.RCode)
	}
	if !slices.Equal(m.Question, []Question{{MustName("alias.example"), TypeMX, ClassIN}}) {
		t.Errorf("question: %v", m.Question)
	}
	want := map[string][]string{
		"answer": {
			"alias.example.\t3600\tIN\tCNAME\tmail.example.",
			"mail.example.\t60\tIN\tMX\t10 mx01.example.",
			"mail.example.\t60\tIN\tRRSIG\tMX 8 2 60 20210114082536 20200704040520 4660 example. C63K/uA=",
		},
		"authority":  {"example.\t86400\tIN\tNS\tmx01.example."},
		"additional": {"mx01.example.\t86400\tIN\tA\t192.0.2.53"},
	}
	for section, rrs := range map[string][]RR{"answer": m.Answer, "authority": m.Authority, "additional": m.Additional} {
		var got []string
		for _, r := range rrs {
			got = append(got, r.String())
		}
		if !slices.Equal(got, want[section]) {
			t.Errorf("%s:\n%s\nwant\n%s", section, strings.Join(got, "\n"), strings.Join(want[section], "\n"))
		}
	}
	code, text, ok := m.EDNS.Error()
	if m.EDNS.UDPSize != 1232 || !m.EDNS.DO || !ok || code != EDEStaleAnswer || text != "" {
		t.Errorf("EDNS: %+v, %v %q", m.EDNS, code, text)
	}
}

// TestUnpackAppend builds what was read; the bytes are the same, so compression is
// as good as that server's.
func TestUnpackAppend(t *testing.T) {
	packet := unhex(t, hexReply)
	var m Message
	if err := m.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	got, err := m.Append([]byte("before"))
	if err != nil || !bytes.Equal(got, append([]byte("before"), packet...)) {
		t.Errorf("%v\n got %x\nwant %x", err, got[6:], packet)
	}
}

// messageErrors has the anti-patterns of RFC 9267 and those of EDNS, behind a header.
// FuzzMessage starts from them too.
func messageErrors() []struct {
	what, packet string
	want         error
} {
	const question = "1234 8100 0001 0001 0000 0000 0161 00 0001 0001"
	const additional = "1234 8100 0000 0000 0000 0001"
	return []struct {
		what, packet string
		want         error
	}{
		{"nothing", "", ErrShort},
		{"half a header", "1234 8100 0000", ErrShort},
		{"header alone", "1234 8100 0000 0000 0000 0000", nil},
		{"trailing octet", "1234 8100 0000 0000 0000 0000 00", ErrTrailing},
		{"counts that lie (§6)", "1234 8100 ffff ffff ffff ffff", ErrCount},
		{"one answer promised (§6)", question, ErrCount},
		{"two questions", "1234 8100 0002 0000 0000 0000 00 0001 0001 00 0001 0001", ErrCount},
		{"two questions of another opcode", "1234 a000 0002 0000 0000 0000 00 0001 0001 00 0001 0001", nil},
		{"answer that ends in its name", question + "3f6161616161616161616161", ErrShort},
		{"answer that ends in its header", question + "0361616100 0001 0001 00000000", ErrShort},
		{"RDLENGTH beyond the packet (§5)", question + "c00c 0001 0001 00000000 0005 c0000201", ErrShort},
		{"address of 3 octets", question + "c00c 0001 0001 00000000 0003 c00002", ErrRDATA},
		{"address of 5 octets", question + "c00c 0001 0001 00000000 0005 c000020100", ErrRDATA},
		{"owner points to itself (§2)", question + "c013 0001 0001 00000000 0004 c0000201", ErrPointer},
		{"target points to itself (§2)", question + "c00c 0005 0001 00000000 0002 c01f", ErrPointer},
		{"target points forward (§2)", question + "c00c 0005 0001 00000000 0003 c021 00", ErrPointer},
		{"target longer than RDLENGTH (§5)", question + "c00c 0005 0001 00000000 0002 0161 00", ErrShort},
		{"target shorter than RDLENGTH (§5)", question + "c00c 0005 0001 00000000 0003 c00c 00", ErrRDATA},
		{"SOA without its numbers", question + "c00c 0006 0001 00000000 0004 c00c c00c", ErrRDATA},
		{"empty MX", question + "c00c 000f 0001 00000000 0000", ErrRDATA},
		{"string beyond RDATA", question + "c00c 0010 0001 00000000 0002 0261", ErrRDATA},
		{"TXT without a string", question + "c00c 0010 0001 00000000 0000", ErrRDATA},
		{"compressed SVCB target", question + "c00c 0040 0001 00000000 0004 0001 c00c", ErrRDATA},
		{"compressed DNAME target", question + "c00c 0027 0001 00000000 0002 c00c", nil},
		{"unknown type", question + "c00c ff00 0001 00000000 0002 c00c", nil},
		{"two OPT", "1234 8100 0000 0000 0000 0002 00 0029 0200 00000000 0000 00 0029 0200 00000000 0000", ErrOPT},
		{"OPT as an answer", "1234 8100 0000 0001 0000 0000 00 0029 0200 00000000 0000", ErrOPT},
		{"OPT with an owner", additional + "0161 00 0029 0200 00000000 0000", ErrOPT},
		{"half an option", additional + "00 0029 0200 00000000 0002 0003", ErrOPT},
		{"option beyond OPT", additional + "00 0029 0200 00000000 0005 0003 0002 00", ErrOPT},
		{"32 options", additional + "00 0029 0200 00000000 0080" + strings.Repeat("fde9 0000", 32), nil},
		{"33 options", additional + "00 0029 0200 00000000 0084" + strings.Repeat("fde9 0000", 33), ErrOPT},
	}
}

func TestUnpackErrors(t *testing.T) {
	for _, test := range messageErrors() {
		var m Message
		err := m.Unpack(unhex(t, test.packet))
		if err != test.want {
			t.Errorf("%s: %v, want %v", test.what, err, test.want)
		}
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v is no kind of ErrFormat", test.what, err)
		}
	}
}

func TestExtendedRCode(t *testing.T) {
	m := Message{Flags: FlagQR, RCode: RCodeBadCookie, EDNS: &EDNS{UDPSize: 512, Version: 1}}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got Message
	if err := got.Unpack(b); err != nil || got.RCode != RCodeBadCookie || got.Flags.RCode() != 7 || got.EDNS.Version != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	m.EDNS = nil
	if _, err := m.Append(nil); err != ErrFormat {
		t.Errorf("a code of more than four bits without EDNS: %v", err)
	}
}

func TestAppendErrors(t *testing.T) {
	a := MustName("a")
	big := RR{a, Type(65280), ClassIN, 0, make([]byte, 40000)}
	for what, test := range map[string]struct {
		m    Message
		want error
	}{
		"no name":            {Message{Answer: []RR{{"", TypeA, ClassIN, 0, make([]byte, 4)}}}, ErrFormat},
		"a name cut short":   {Message{Answer: []RR{{"\x03ab", TypeA, ClassIN, 0, make([]byte, 4)}}}, ErrFormat},
		"more than a name":   {Message{Question: []Question{{a + a, TypeA, ClassIN}}}, ErrFormat},
		"a short address":    {Message{Answer: []RR{{a, TypeA, ClassIN, 0, make([]byte, 3)}}}, ErrFormat},
		"a compressed NS":    {Message{Answer: []RR{{a, TypeNS, ClassIN, 0, []byte("\xc0\x0c")}}}, ErrFormat},
		"OPT among the rest": {Message{Additional: []RR{{Root, TypeOPT, 512, 0, nil}}}, ErrFormat},
		"too long":           {Message{Answer: []RR{big, big}}, ErrTooLong},
		"RDATA too long":     {Message{Answer: []RR{{a, 65280, ClassIN, 0, make([]byte, 65536)}}}, ErrTooLong},
		"option too long":    {Message{EDNS: &EDNS{Options: []Option{{OptionNSID, make([]byte, 65536)}}}}, ErrTooLong},
	} {
		out, err := test.m.Append([]byte("before"))
		if err != test.want || string(out) != "before" {
			t.Errorf("%s: %v, %d octets", what, err, len(out))
		}
	}
}
