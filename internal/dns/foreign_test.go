package dns

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	mdns "github.com/miekg/dns"
)

// seedsVariable names an environment variable: a directory whose files, each one
// packet, are read as well. They join the seeds of FuzzMessage and FuzzQuery.
const seedsVariable = "SHOJI_DNS_SEEDS"

// foreignSeeds are the packets in the directory that seedsVariable names.
func foreignSeeds(tb testing.TB) [][]byte {
	root := os.Getenv(seedsVariable)
	if root == "" {
		return nil
	}
	var seeds [][]byte
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		seeds = append(seeds, b)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return seeds
}

// difference compares a packet that both accept: "" where both read the same.
func difference(ours *Message, theirs *mdns.Msg) string {
	// miekg/dns folds the extended response code into Rcode, and keeps OPT in Extra.
	switch h := theirs.MsgHdr; {
	case h.Id != ours.ID, h.Response != ours.Flags.Has(FlagQR), h.Opcode != int(ours.Flags.Opcode()),
		h.Authoritative != ours.Flags.Has(FlagAA), h.Truncated != ours.Flags.Has(FlagTC),
		h.RecursionDesired != ours.Flags.Has(FlagRD), h.RecursionAvailable != ours.Flags.Has(FlagRA),
		h.AuthenticatedData != ours.Flags.Has(FlagAD), h.CheckingDisabled != ours.Flags.Has(FlagCD):
		return "header"
	case h.Rcode != int(ours.RCode):
		return "response code"
	case len(theirs.Question) != len(ours.Question):
		return "number of questions"
	}
	for i, q := range ours.Question {
		t := theirs.Question[i]
		if !sameText(q.Name, t.Name) || uint16(q.Type) != t.Qtype || uint16(q.Class) != t.Qclass {
			return "question"
		}
	}
	extra := slices.DeleteFunc(slices.Clone(theirs.Extra), func(r mdns.RR) bool { return r.Header().Rrtype == mdns.TypeOPT })
	if (theirs.IsEdns0() != nil) != (ours.EDNS != nil) {
		return "EDNS"
	}
	if opt := theirs.IsEdns0(); opt != nil {
		if opt.UDPSize() != ours.EDNS.UDPSize && ours.EDNS.UDPSize >= MinUDPSize || opt.Do() != ours.EDNS.DO ||
			opt.Version() != ours.EDNS.Version || len(opt.Option) != len(ours.EDNS.Options) {
			return "OPT"
		}
	}
	for i, rrs := range [][]mdns.RR{theirs.Answer, theirs.Ns, extra} {
		mine := [][]RR{ours.Answer, ours.Authority, ours.Additional}[i]
		if len(rrs) != len(mine) {
			return "number of records"
		}
		for j := range mine {
			if d := recordDifference(&mine[j], rrs[j]); d != "" {
				return mine[j].Type.String() + ": " + d
			}
		}
	}
	return ""
}

// normalised are the types whose RDATA miekg/dns writes in another way than it read it.
func normalised(t Type) bool {
	switch t {
	case TypeNSEC, TypeNSEC3, TypeNXT: // empty windows and trailing zeros of bitmaps
		return true
	case TypeSVCB, TypeHTTPS: // order and form of parameters
		return true
	}
	_, known := mdns.TypeToRR[uint16(t)]
	return known && layout(t) == ""
}

// recordDifference compares one record by its uncompressed wire form.
func recordDifference(ours *RR, theirs mdns.RR) string {
	h := theirs.Header()
	if !sameText(ours.Name, h.Name) || uint16(ours.Type) != h.Rrtype || uint16(ours.Class) != h.Class || ours.TTL != h.Ttl {
		return "owner, type, class or TTL"
	}
	buf := make([]byte, maxMessage+MaxName+rrFixedLen)
	n, err := mdns.PackRR(theirs, buf, 0, nil, false)
	if err != nil {
		return "" // it reads what it cannot write
	}
	data := buf[len(ours.Name)+rrFixedLen : n]
	if !bytes.Equal(data, ours.Data) && !normalised(ours.Type) {
		return string(mustHex(ours.Data)) + " is " + string(mustHex(data)) + " to miekg/dns"
	}
	return ""
}

func mustHex(b []byte) []byte { return []byte(unknownText(b)) }

// fullyKnown reports that the layout of every record's type leaves nothing open, so
// that another parser cannot know more of it.
func (m *Message) fullyKnown() bool {
	for _, rrs := range [][]RR{m.Answer, m.Authority, m.Additional} {
		for _, r := range rrs {
			switch r.Type {
			case TypeA, TypeAAAA, TypeNS, TypeCNAME, TypeSOA, TypePTR, TypeMX, TypeDNAME, TypeSRV, TypeTXT, TypeHINFO, TypeNAPTR:
			default:
				return false
			}
		}
	}
	return m.EDNS == nil || len(m.EDNS.Options) == 0
}

// checkMessage reads a packet with both and reports what should not be. What they may
// differ in:
//
//   - miekg/dns lets pointers lead forward and into the header, takes octets after the
//     last record, counts that promise more than there is, more than one question, RDATA
//     without octets, OPT anywhere and more than once, and compressed names in any RDATA.
//   - miekg/dns knows the inside of types and options that are opaque here, and refuses
//     some of it.
func checkMessage(tb testing.TB, packet []byte) {
	var ours Message
	var theirs mdns.Msg
	err, theirErr := ours.Unpack(packet), theirs.Unpack(packet)
	if err != nil {
		if !errors.Is(err, ErrFormat) {
			tb.Fatalf("%v is no kind of ErrFormat", err)
		}
		if theirErr == nil && (err == ErrLabel || err == ErrNameLength) {
			tb.Fatalf("refused with %v what miekg/dns reads:\n%v", err, &theirs)
		}
		return
	}
	if theirErr != nil {
		if ours.fullyKnown() {
			tb.Fatalf("read what miekg/dns refuses: %v\n%+v", theirErr, ours)
		}
	} else if d := difference(&ours, &theirs); d != "" {
		tb.Fatalf("%s\n%+v\n%v", d, ours, &theirs)
	}
	checkRebuild(tb, &ours)
}

// checkRebuild writes a message and reads it again, with both.
func checkRebuild(tb testing.TB, m *Message) {
	packet, err := m.Append(nil)
	if err == ErrTooLong && len(packet) == 0 {
		return
	}
	if err != nil {
		tb.Fatalf("what was read cannot be written: %v\n%+v", err, m)
	}
	var again Message
	if err := again.Unpack(packet); err != nil {
		tb.Fatalf("what was written cannot be read: %v\n%+v", err, m)
	}
	if d := messageDifference(m, &again); d != "" {
		tb.Fatalf("%s changed\n%+v\n%+v", d, m, again)
	}
	var theirs mdns.Msg
	if err := theirs.Unpack(packet); err != nil {
		if m.fullyKnown() {
			tb.Fatalf("miekg/dns refuses what was written: %v\n%+v", err, m)
		}
	} else if d := difference(&again, &theirs); d != "" {
		tb.Fatalf("written: %s\n%+v\n%v", d, again, &theirs)
	}
	offsets, err := TTLOffsets(nil, packet)
	if err != nil || len(offsets) != len(m.Answer)+len(m.Authority)+len(m.Additional) {
		tb.Fatalf("%d offsets of TTLs, %v", len(offsets), err)
	}
	for _, r := range slices.Concat(m.Answer, m.Authority, m.Additional) {
		_ = r.String()
		for range r.Addrs() {
		}
		if c := r.AppendCanonical(nil, r.TTL); len(c) != len(r.Name)+rrFixedLen+len(r.Data) {
			tb.Fatalf("canonical form of %v has %d octets", r, len(c))
		}
	}
}

// messageDifference compares two messages; owners' names without case, as compression
// may change it.
func messageDifference(a, b *Message) string {
	if a.ID != b.ID || a.Flags != b.Flags || a.RCode != b.RCode || !slices.Equal(a.Question, b.Question) && len(a.Question) <= 1 {
		return "header or question"
	}
	for i, rrs := range [][]RR{a.Answer, a.Authority, a.Additional} {
		same := func(x, y RR) bool {
			return x.Name.Equal(y.Name) && x.Type == y.Type && x.Class == y.Class && x.TTL == y.TTL && bytes.Equal(x.Data, y.Data)
		}
		if !slices.EqualFunc(rrs, [][]RR{b.Answer, b.Authority, b.Additional}[i], same) {
			return "section"
		}
	}
	if (a.EDNS == nil) != (b.EDNS == nil) {
		return "EDNS"
	}
	if a.EDNS != nil {
		same := func(x, y Option) bool { return x.Code == y.Code && bytes.Equal(x.Data, y.Data) }
		if a.EDNS.UDPSize != b.EDNS.UDPSize || a.EDNS.DO != b.EDNS.DO || a.EDNS.Version != b.EDNS.Version ||
			!slices.EqualFunc(a.EDNS.Options, b.EDNS.Options, same) {
			return "OPT"
		}
	}
	return ""
}

// zoneLines are records of every type that has a text form here, and others.
func zoneLines() []string {
	return []string{
		"a.example. 60 IN A 192.0.2.1",
		"a.example. 60 IN AAAA 2001:db8::1",
		"example. 60 IN NS Ns1.example.",
		"example. 60 IN SOA ns1.example. host\\.master.example. 2024010100 7200 900 1209600 300",
		"w.example. 60 IN CNAME a.example.",
		"d.example. 60 IN DNAME e.example.",
		"1.2.0.192.in-addr.arpa. 60 IN PTR a.example.",
		"example. 60 IN MX 10 Mail.example.",
		`example. 60 IN TXT "v=spf1 -all" "a \"quoted\" \\ \200 string" ""`,
		`example. 60 IN HINFO "PDP-11" "UNIX"`,
		"example. 60 IN MINFO a.example. b.example.",
		"example. 60 IN RP a.example. b.example.",
		"example. 60 IN AFSDB 1 a.example.",
		"example. 60 IN KX 1 a.example.",
		"example. 60 IN RT 1 a.example.",
		"example. 60 IN PX 1 a.example. b.example.",
		"_s._tcp.example. 60 IN SRV 1 2 443 A.example.",
		`example. 60 IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .`,
		"example. 60 IN DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
		"example. 60 IN DNSKEY 257 3 13 AQIDBA==",
		"example. 60 IN RRSIG A 13 1 60 20300101000000 20200101000000 1234 Example. AQIDBA==",
		"example. 60 IN NSEC \\000.Example. A NS SOA TYPE65280",
		"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example. 60 IN NSEC3 1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR MX RRSIG",
		"example. 60 IN NSEC3PARAM 1 0 12 -",
		"_443._tcp.example. 60 IN TLSA 3 1 1 AABB",
		"example. 60 IN SSHFP 4 2 AABB",
		"example. 60 IN CDS 0 0 0 00",
		"example. 60 IN CDNSKEY 0 3 0 AA==",
		"example. 60 IN SVCB 0 svc.example.",
		`example. 60 IN HTTPS 1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::1" ech="AQID"`,
		`example. 60 IN CAA 0 issue "ca.example"`,
		"example. 60 IN TYPE65280 \\# 4 C00CC00C",
		"example. 60 CH TXT \"x\"",
		`\000\255.a\.b.example. 60 IN A 192.0.2.1`,
	}
}

// TestForeignRecords packs records with miekg/dns, compressed, reads them, and reads
// their text with miekg/dns again.
func TestForeignRecords(t *testing.T) {
	all := new(mdns.Msg)
	all.SetQuestion("www.Example.", mdns.TypeANY)
	all.SetEdns0(1400, true)
	all.Compress = true
	for _, line := range zoneLines() {
		rr, err := mdns.NewRR(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		m := all.Copy()
		m.Answer = []mdns.RR{rr, rr}
		all.Answer = append(all.Answer, rr)
		packet, err := m.Pack()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		checkMessage(t, packet)
		var ours Message
		if err := ours.Unpack(packet); err != nil || len(ours.Answer) != 2 {
			t.Fatalf("%s: %v", line, err)
		}
		back, err := mdns.NewRR(ours.Answer[1].String())
		if err != nil || !mdns.IsDuplicate(back, rr) && back.String() != rr.String() {
			t.Errorf("%s\nwritten as %s\n(%v)", line, ours.Answer[1], err)
		}
	}
	packet, err := all.Pack()
	if err != nil {
		t.Fatal(err)
	}
	checkMessage(t, packet)
	var ours Message
	if err := ours.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	mine, err := ours.Append(nil)
	if err != nil || len(mine) > len(packet)+len(packet)/10 {
		t.Errorf("built in %d octets, %v; miekg/dns needs %d", len(mine), err, len(packet))
	}
}

// FuzzMessage reads packets and compares with miekg/dns.
func FuzzMessage(f *testing.F) {
	f.Add(unhex(f, hexReply))
	f.Add(benchQuery(f))
	for _, test := range messageErrors() {
		f.Add(unhex(f, test.packet))
	}
	for _, line := range zoneLines() {
		rr, err := mdns.NewRR(line)
		if err != nil {
			f.Fatal(err)
		}
		m := new(mdns.Msg)
		m.SetQuestion("example.", mdns.TypeANY)
		m.Answer, m.Compress = []mdns.RR{rr}, true
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	for _, seed := range foreignSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, packet []byte) { checkMessage(t, packet) })
}
