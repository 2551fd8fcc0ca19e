package dns

import (
	"slices"
	"testing"
)

// FuzzQuery parses packets as requests and compares with Message.Unpack.
func FuzzQuery(f *testing.F) {
	f.Add(benchQuery(f))
	f.Add(unhex(f, hexHeaderAR+hexQuestion+hexOPT))
	for _, seed := range foreignSeeds(f) {
		f.Add(seed)
	}
	for _, test := range messageErrors() {
		packet := unhex(f, test.packet)
		if len(packet) > 2 {
			packet[2] &^= 0x80
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) { checkQuery(t, packet) })
}

// checkQuery parses a request and compares with the other parser. That one looks into
// additional records, which a request's parser ignores; this one wants what only
// requests must have.
func checkQuery(t *testing.T, packet []byte) {
	var q Query
	q.HasCookie, q.nameLen, q.serverLen = true, 255, 32 // of the packet before
	err := q.Parse(packet)
	if err == ErrDrop {
		if len(packet) >= headerLen && packet[2]&0x80 == 0 {
			t.Fatal("dropped a request")
		}
		return
	}
	var m Message
	whole := m.Unpack(packet)
	others := int(be16(packet[10:]))
	if q.HasEDNS {
		others--
	}
	switch {
	case err == nil && whole == nil:
		sameQuery(t, &q, &m)
	case err == nil && others == 0:
		t.Fatalf("parsed what does not unpack: %v", whole)
	case err == ErrFormat && whole == nil && !m.refusedAsQuery():
		t.Fatalf("refused what unpacks as %+v", m)
	}
	if string(q.Name()) != asciiLower(string(q.RawName())) {
		t.Fatalf("%q is not %q in lower case", q.Name(), q.RawName())
	}
	e, _ := err.(Error)
	code := RCodeSuccess
	if err != nil {
		code = e.RCode()
	}
	reply := AppendError(nil, &q, code)
	if err := m.Unpack(reply); err != nil || m.ID != q.ID || !m.Flags.Has(FlagQR) || m.RCode != code {
		t.Fatalf("error reply %x: %v", reply, err)
	}
}

// refusedAsQuery reports that a well-formed message is no well-formed request.
func (m *Message) refusedAsQuery() bool {
	cookie, ok := m.EDNS.Option(OptionCookie)
	tsig := func(r RR) bool { return r.Type == TypeTSIG }
	return len(m.Question) != 1 || len(m.Answer) > 0 || len(m.Authority) > 0 ||
		len(m.Additional) >= maxQueryAdditional || slices.ContainsFunc(m.Additional, tsig) ||
		ok && (len(cookie) < 8 || len(cookie) > 8 && len(cookie) < 16 || len(cookie) > 40)
}

// sameQuery compares a request with the message that it is.
func sameQuery(t *testing.T, q *Query, m *Message) {
	if len(m.Question) != 1 || string(m.Question[0].Name) != string(q.RawName()) || m.Question[0].Type != q.Type ||
		m.Question[0].Class != q.Class || m.ID != q.ID || m.Flags != q.Flags || (m.EDNS != nil) != q.HasEDNS {
		t.Fatalf("parsed as %+v\nunpacked as %+v", q, m)
	}
	if m.EDNS == nil {
		return
	}
	for code, has := range map[uint16]bool{OptionCookie: q.HasCookie, OptionNSID: q.NSID, OptionKeepalive: q.Keepalive,
		OptionPadding: q.Padding} {
		if _, ok := m.EDNS.Option(code); ok != has {
			t.Fatalf("option %d: %v, unpacked %v", code, has, ok)
		}
	}
	_, ede := m.EDNS.Option(OptionEDE)
	if _, structured := m.EDNS.Option(OptionStructuredError); (ede || structured) != q.StructuredError {
		t.Fatalf("structured errors: %v", q.StructuredError)
	}
	cookie, _ := m.EDNS.Option(OptionCookie)
	if q.HasCookie && string(cookie) != string(q.ClientCookie[:])+string(q.ServerCookie()) {
		t.Fatalf("cookie %x", cookie)
	}
	if max(m.EDNS.UDPSize, MinUDPSize) != q.UDPSize || m.EDNS.DO != q.DO || m.EDNS.Version != q.Version {
		t.Fatalf("parsed as %+v\nunpacked as %+v", q, m.EDNS)
	}
}
