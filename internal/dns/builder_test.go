package dns

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// TestCompression shows every octet of a small message.
func TestCompression(t *testing.T) {
	var b Builder
	b.Reset([]byte("before"), 512)
	b.Header(0x1234, FlagQR|FlagRD|FlagRA)
	ok := b.Question([]byte(MustName("WWW.example.org")), TypeA, ClassIN) &&
		b.RR(SectionAnswer, MustName("www.example.org"), TypeCNAME, ClassIN, 60, []byte(MustName("a.example.org"))) &&
		b.RR(SectionAnswer, MustName("A.EXAMPLE.ORG"), TypeA, ClassIN, 60, []byte{192, 0, 2, 1}) &&
		b.RR(SectionAuthority, MustName("example.org"), TypeNS, ClassIN, 60, []byte(MustName("Ns.example.ORG"))) &&
		b.RR(SectionAuthority, MustName("org"), TypeDNAME, ClassIN, 60, []byte(MustName("example.org"))) &&
		b.OPT(1232, RCodeSuccess, false)
	want := unhex(t, "1234 8180 0001 0002 0002 0001"+
		"03575757 076578616d706c65 036f7267 00 0001 0001"+ // 12: WWW 16: example 24: org
		"c00c 0005 0001 0000003c 0004 0161 c010"+ // the owner's case does not matter
		"c02d 0001 0001 0000003c 0004 c0000201"+
		"c010 0002 0001 0000003c 0010 024e73 076578616d706c65 034f5247 00"+ // the data's does
		"c018 0027 0001 0000003c 000d 076578616d706c65 036f7267 00"+ // never in DNAME, RFC 6672 §2.1
		"00 0029 04d0 00000000 0000")
	if got := b.Bytes(); !ok || string(got[:6]) != "before" || !bytes.Equal(got[6:], want) || b.Len() != len(want) {
		t.Errorf("\n got %x\nwant %x", got[6:], want)
	}
}

func TestBuilderRefuses(t *testing.T) {
	a, addr := MustName("a"), []byte{192, 0, 2, 1}
	var b Builder
	b.Reset(nil, 512)
	for what, ok := range map[string]bool{
		"question without a name":  b.Question(nil, TypeA, ClassIN),
		"question of half a name":  b.Question([]byte("\x03ab"), TypeA, ClassIN),
		"question of two names":    b.Question([]byte(a+a), TypeA, ClassIN),
		"question with a pointer":  b.Question([]byte("\xc0\x0c"), TypeA, ClassIN),
		"owner without a name":     b.RR(SectionAnswer, "", TypeA, ClassIN, 0, addr),
		"owner of half a name":     b.RR(SectionAnswer, "\x03ab", TypeA, ClassIN, 0, addr),
		"record as a question":     b.RR(SectionQuestion, a, TypeA, ClassIN, 0, addr),
		"record of no section":     b.RR(SectionAdditional+1, a, TypeA, ClassIN, 0, addr),
		"RDATA of 65536 octets":    b.RR(SectionAnswer, a, TypeTXT, ClassIN, 0, make([]byte, 65536)),
		"RDATA beyond the limit":   b.RR(SectionAnswer, a, TypeNULL, ClassIN, 0, make([]byte, 512)),
		"option without OPT":       b.Option(OptionNSID, nil),
		"OPT with too long option": b.OPT(512, RCodeBadCookie, true, Option{OptionNSID, make([]byte, 512)}),
	} {
		if ok || b.Len() != headerLen || !bytes.Equal(b.Bytes(), make([]byte, headerLen)) {
			t.Errorf("%s: %v, %x", what, ok, b.Bytes())
		}
	}
	if !b.RR(SectionAuthority, a, TypeA, ClassIN, 0, addr) || !b.OPT(512, RCodeBadCookie, true) {
		t.Fatal("refused")
	}
	before := bytes.Clone(b.Bytes())
	for what, ok := range map[string]bool{
		"question after a record":  b.Question([]byte(a), TypeA, ClassIN),
		"earlier section":          b.RR(SectionAnswer, a, TypeA, ClassIN, 0, addr),
		"record after OPT":         b.RR(SectionAdditional, a, TypeA, ClassIN, 0, addr),
		"second OPT":               b.OPT(512, 0, false),
		"too long an error":        b.Error(EDEBlocked, strings.Repeat("a", 512)),
		"padding to no block":      b.Pad(0),
		"too long a NSID":          b.NSID(strings.Repeat("a", 512)),
		"too long a server cookie": b.Cookie([8]byte{}, make([]byte, 512)),
		"padding without any room ": func() bool {
			m := b.Mark()
			defer b.Rewind(m)
			b.NSID(strings.Repeat("a", 512-b.Len()-4))
			return b.Pad(468)
		}(),
	} {
		if ok || !bytes.Equal(b.Bytes(), before) {
			t.Errorf("%s: %v, %x", what, ok, b.Bytes())
		}
	}
}

// TestLimits builds the same message within every limit: it never exceeds it, always
// reads back, and holds a record exactly if RR said so.
func TestLimits(t *testing.T) {
	var q Query
	if err := q.Parse(benchQuery(t)); err != nil {
		t.Fatal(err)
	}
	rrs := []RR{
		{MustName("www.example.com"), TypeCNAME, ClassIN, 60, []byte(MustName("a.b.example.net"))},
		{MustName("a.b.example.net"), TypeA, ClassIN, 60, []byte{192, 0, 2, 1}},
		{MustName("example.net"), TypeSOA, ClassIN, 60, []byte(MustName("ns.example.net") + MustName("h.example.com") + "12345678901234567890")},
		{MustName("ns.example.net"), TypeTXT, ClassIN, 60, []byte("\x04text")},
	}
	const reserve = optFixedLen + 20
	for limit := 0; limit < 300; limit++ {
		var b Builder
		b.Reset(nil, limit)
		b.Reserve(reserve)
		b.Header(q.ID, q.ReplyFlags())
		b.Question(q.RawName(), q.Type, q.Class)
		var want []RR
		for i := range rrs {
			if b.Add(SectionAnswer, &rrs[i]) {
				want = append(want, rrs[i])
			}
		}
		if b.Len() > max(limit-reserve, headerLen) {
			t.Fatalf("limit %d: %d octets leave no room for OPT", limit, b.Len())
		}
		opt := b.OPT(1232, RCodeNameError, true)
		if padded := b.Pad(128); opt != (limit >= headerLen+optFixedLen) || padded && b.Len()%128 != 0 && b.Len() != limit {
			t.Fatalf("limit %d: OPT %v, %d octets after padding", limit, opt, b.Len())
		}
		if b.Len() > max(limit, headerLen) {
			t.Fatalf("limit %d: %d octets", limit, b.Len())
		}
		var m Message
		if err := m.Unpack(b.Bytes()); err != nil {
			t.Fatalf("limit %d: %v", limit, err)
		}
		if got := fmt.Sprint(m.Answer); len(m.Answer) != len(want) || !strings.EqualFold(got, fmt.Sprint(want)) {
			t.Fatalf("limit %d:\n got %v\nwant %v", limit, got, want)
		}
	}
}

func TestRewind(t *testing.T) {
	a, addr := MustName("a.example"), []byte{192, 0, 2, 1}
	var b Builder
	b.Reset(nil, 512)
	b.Question([]byte(a), TypeA, ClassIN)
	start := b.Mark()
	b.RR(SectionAnswer, a, TypeA, ClassIN, 1, addr)
	before := bytes.Clone(b.Bytes())
	m := b.Mark()
	b.RR(SectionAnswer, MustName("b.example"), TypeA, ClassIN, 1, addr)
	b.RR(SectionAuthority, MustName("c.example"), TypeA, ClassIN, 1, addr)
	b.OPT(512, RCodeSuccess, false)
	b.Rewind(m)
	if !bytes.Equal(b.Bytes(), before) {
		t.Errorf("\n got %x\nwant %x", b.Bytes(), before)
	}
	// A name that was undone is no target of a pointer.
	b.RR(SectionAnswer, MustName("c.example"), TypeA, ClassIN, 1, addr)
	b.OPT(512, RCodeSuccess, false)
	var got Message
	if err := got.Unpack(b.Bytes()); err != nil || got.Answer[1].Name != MustName("c.example") || got.EDNS == nil {
		t.Errorf("%v, %v", got, err)
	}
	b.Rewind(start)
	if err := got.Unpack(b.Bytes()); err != nil || len(got.Question) != 1 || len(got.Answer) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestOptions reads with miekg/dns what was built.
func TestOptions(t *testing.T) {
	var b Builder
	b.Reset(nil, maxMessage)
	b.OPT(1232, RCodeBadCookie, true, Option{65001, []byte("x")})
	b.Error(EDEForgedAnswer, "entry 7")
	b.Cookie([8]byte{1, 2}, []byte("12345678"))
	b.Keepalive(150)
	b.NSID("ns1")
	b.Pad(468)
	var m mdns.Msg
	if err := m.Unpack(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	opt := m.IsEdns0()
	if b.Len() != 468 || m.Rcode != mdns.RcodeBadCookie || !opt.Do() || len(opt.Option) != 6 {
		t.Fatalf("%d octets: %v", b.Len(), &m)
	}
	ede, _ := opt.Option[1].(*mdns.EDNS0_EDE)
	cookie, _ := opt.Option[2].(*mdns.EDNS0_COOKIE)
	keepalive, _ := opt.Option[3].(*mdns.EDNS0_TCP_KEEPALIVE)
	nsid, _ := opt.Option[4].(*mdns.EDNS0_NSID)
	if ede == nil || ede.InfoCode != 4 || ede.ExtraText != "entry 7" || cookie == nil || cookie.Cookie != "01020000000000003132333435363738" ||
		keepalive == nil || keepalive.Timeout != 150 || nsid == nil || nsid.Nsid != "6e7331" {
		t.Errorf("%v", opt)
	}
	if mdns.ExtendedErrorCodeToString[ede.InfoCode] != ErrorCode(ede.InfoCode).String() {
		t.Errorf("%v", ErrorCode(ede.InfoCode))
	}
}

// TestCompressionBeyondPointers writes more than a pointer reaches, and more labels
// than are remembered.
func TestCompressionBeyondPointers(t *testing.T) {
	var m Message
	for i := range 2000 {
		name := MustName(fmt.Sprintf("host-%d.Zone-%d.example", i, i%70))
		m.Answer = append(m.Answer, RR{name, TypeNS, ClassIN, 60, []byte(name)})
	}
	checkRebuild(t, &m)

	// Names that stand beyond a pointer's reach are written out each time.
	big := RR{MustName("big"), 65280, ClassIN, 60, make([]byte, maxPointer)}
	m.Answer = []RR{big}
	for range 3 {
		m.Answer = append(m.Answer, RR{MustName("far.away"), TypeNS, ClassIN, 60, []byte(MustName("very.far.away"))})
	}
	checkRebuild(t, &m)
}

// TestNamesAlike writes names one after another that begin or end alike.
func TestNamesAlike(t *testing.T) {
	var m Message
	for _, s := range []string{"www.example", "www.example.org", "www.example", "example", "a.www.example", "www", ".", "www.exam", "w.ww.example"} {
		m.Answer = append(m.Answer, RR{MustName(s), TypePTR, ClassIN, 60, []byte(MustName(s))})
	}
	checkRebuild(t, &m)
}

// TestOptionLimit has an option that fits to the octet, and one that does not.
func TestOptionLimit(t *testing.T) {
	for size := range 2 * optionLen {
		var b Builder
		b.Reset(nil, headerLen+optFixedLen+optionLen+4)
		b.OPT(512, RCodeSuccess, false)
		if fits := b.Option(OptionNSID, make([]byte, size)); fits != (size <= 4) {
			t.Errorf("option of %d octets where 4 fit: %v", size, fits)
		}
	}
}

// FuzzBuilder builds messages of what the input says and reads them with both parsers.
func FuzzBuilder(f *testing.F) {
	f.Add([]byte("www\x00example\x01org\x02aaaa"), uint16(512))
	f.Add([]byte{0, 0, 0, 0, 1, 1, 1, 1, 7, 7, 7, 9, 9, 200, 201, 202, 203}, uint16(64))
	f.Add(bytes.Repeat([]byte{1, 5, 33, 2, 77, 41, 3, 6}, 60), uint16(65535))
	f.Fuzz(func(t *testing.T, input []byte, limit uint16) {
		var b Builder
		b.Reset(make([]byte, 3), int(limit))
		b.Header(7, FlagQR)
		in := &source{input}
		var want Message
		if name := in.name(); b.Question([]byte(name), TypeMX, ClassIN) {
			want.Question = []Question{{name, TypeMX, ClassIN}}
		}
		for s := SectionAnswer; s <= SectionAdditional; s++ {
			section := []*[]RR{&want.Answer, &want.Authority, &want.Additional}[s-1]
			for range in.octet() % 32 {
				if r := in.record(); b.Add(s, &r) {
					*section = append(*section, r)
				} else if limit == 65535 && b.Len() < 60000 {
					t.Fatalf("refused %v", r)
				}
			}
		}
		if in.octet()%2 == 1 && b.OPT(1232, RCodeBadVers, true) {
			want.EDNS, want.RCode = &EDNS{UDPSize: 1232, DO: true}, RCodeBadVers
			if b.Error(EDEBlocked, string(in.input)) {
				want.EDNS.Options = []Option{ErrorOption(EDEBlocked, string(in.input))}
			}
		}
		if b.Len() > max(int(limit), headerLen) {
			t.Fatalf("%d octets within %d", b.Len(), limit)
		}
		want.ID, want.Flags = 7, FlagQR
		var got Message
		if err := got.Unpack(b.Bytes()[3:]); err != nil {
			t.Fatalf("%v: %x", err, b.Bytes())
		}
		if d := messageDifference(&want, &got); d != "" {
			t.Fatalf("%s: built %+v\nread %+v", d, want, got)
		}
		checkMessage(t, b.Bytes()[3:])
	})
}

// source turns fuzz input into names and records; after its end it gives zeros.
type source struct{ input []byte }

func (s *source) octet() byte {
	if len(s.input) == 0 {
		return 0
	}
	c := s.input[0]
	s.input = s.input[1:]
	return c
}

// name is made of few labels, so that names have suffixes in common.
func (s *source) name() Name {
	labels := [...]string{"a", "A", "b", "example", "Example", "exampla", "org", strings.Repeat("l", 63)}
	n := Root
	for c := s.octet(); c > 0; c /= 6 {
		if child, err := n.Child(labels[int(c)%len(labels)]); err == nil {
			n = child
		}
	}
	return n
}

// record has RDATA that is as its type lays it out.
func (s *source) record() RR {
	types := [...]Type{TypeA, TypeNS, TypeCNAME, TypeSOA, TypeMX, TypeTXT, TypeDNAME, TypeSRV, TypeMINFO, TypeRRSIG, TypeNSEC, 65280}
	r := RR{Name: s.name(), Type: types[int(s.octet())%len(types)], Class: ClassIN, TTL: uint32(s.octet())}
	for _, field := range []byte(layout(r.Type)) {
		switch {
		case isName(field):
			r.Data = append(r.Data, s.name()...)
		case field == 's' || field == '+':
			r.Data = append(r.Data, 2, s.octet(), s.octet())
		case field == '*':
			r.Data = append(r.Data, s.octet())
		default:
			r.Data = append(r.Data, bytes.Repeat([]byte{s.octet()}, int(field))...)
		}
	}
	if r.Type == 65280 {
		r.Data = append(r.Data, 0xC0, s.octet())
	}
	return r
}
