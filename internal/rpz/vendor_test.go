package rpz

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
)

// primary is a vendor's server that says what it is told to: each connection gets the next
// script, a list of messages of records in zone-file form.
func primary(t *testing.T, key *Key, scripts ...[]string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		defer l.Close() // who comes once more is refused
		for _, script := range scripts {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(time.Minute))
			raw, err := readFrame(c, make([]byte, 65535))
			var m mdns.Msg
			if err != nil || m.Unpack(raw) != nil {
				c.Close()
				continue
			}
			s := session{key: key}
			if t := m.IsTsig(); t != nil {
				s.mac = t.MAC
			}
			for _, text := range script {
				r := new(mdns.Msg)
				r.SetReply(&m)
				r.Answer = zoneRecords(text)
				if strings.HasPrefix(text, "REFUSED") {
					r.Answer, r.Rcode = nil, mdns.RcodeRefused
				}
				b, err := s.pack(r)
				if err != nil {
					break
				}
				writeFrame(c, b)
			}
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// zoneRecords reads records of the zone rpz.test; "SOA n" is its SOA record of serial n.
func zoneRecords(text string) (out []mdns.RR) {
	for _, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		if n, ok := strings.CutPrefix(l, "SOA "); ok {
			l = "@ SOA a. b. " + n + " 1 1 1 1"
		}
		zp := mdns.NewZoneParser(strings.NewReader("$TTL 60\n"+l+"\n"), testOrigin, "")
		if rr, ok := zp.Next(); ok {
			out = append(out, rr)
		}
	}
	return out
}

func vendor(t testing.TB, key *Key, from ...netip.AddrPort) *Vendor {
	t.Helper()
	v, err := NewVendor(VendorConfig{Zone: dns.MustName("RPZ.test"), From: from, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// claimsOf are a vendor's claims as text.
func claimsOf(t testing.TB, v *Vendor) (string, *feed.Report) {
	t.Helper()
	var file bytes.Buffer
	if n, err := v.WriteTo(&file); err != nil || n != int64(file.Len()) {
		t.Fatal(n, err)
	}
	var out []string
	r, err := feed.Read(&file, feed.Options{Format: feed.RPZ}, func(c feed.Claim) error {
		out = append(out, trigger{name: c.Name, below: c.Scope == feed.Subtree, prefix: c.Prefix}.owner())
		return nil
	})
	if refused := (*feed.Refused)(nil); err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	slices.Sort(out)
	return fmt.Sprint(out), r
}

// A vendor's zone is read over and over: whole, nothing new, by difference.
func TestVendorIsFollowed(t *testing.T) {
	k := testKey(t, "key.test", "hmac-sha512")
	v := vendor(t, k, primary(t, k,
		[]string{"SOA 1\n@ NS localhost.", "a CNAME .\n*.b CNAME *.\nB A 192.0.2.1\nb AAAA 2001:db8::1", "SOA 1"},
		[]string{"SOA 1"},
		[]string{"SOA 3\nSOA 1\na CNAME .\nSOA 2\nc CNAME .", "SOA 2\nb A 192.0.2.1\nSOA 3\nSOA 3"},
	))
	for i, want := range []struct {
		changed bool
		serial  uint32
		claims  string
	}{{true, 1, "[*.b a b]"}, {false, 1, "[*.b a b]"}, {true, 3, "[*.b b c]"}} {
		changed, err := v.Refresh(t.Context())
		serial, _ := v.Serial()
		got, _ := claimsOf(t, v)
		if err != nil || changed != want.changed || serial != want.serial || got != want.claims {
			t.Errorf("refresh %d: %t, serial %d, %s, %v", i, changed, serial, got, err)
		}
	}
}

// What one server does not have, the next one may; and a difference that does not fit is
// made good by the whole zone.
func TestVendorFailsOver(t *testing.T) {
	bad := primary(t, nil, []string{"REFUSED"}, []string{"REFUSED"})
	good := primary(t, nil,
		[]string{"SOA 1\na CNAME .\nSOA 1"},
		[]string{"SOA 2\nSOA 1\nnever-there CNAME .\nSOA 2\nb CNAME .\nSOA 2"},
		[]string{"SOA 2\na CNAME .\nb CNAME .\nSOA 2"})
	v := vendor(t, nil, bad, good)
	for _, want := range []string{"[a]", "[a b]"} {
		changed, err := v.Refresh(t.Context())
		if got, _ := claimsOf(t, v); err != nil || !changed || got != want {
			t.Errorf("%t, %s, %v", changed, got, err)
		}
	}
}

// A transfer that is cut, forged, or no transfer changes nothing.
func TestVendorKeepsWhatItHas(t *testing.T) {
	k, other := testKey(t, "key.test", "hmac-sha256"), testKey(t, "other.test", "hmac-sha256")
	begin := []string{"SOA 1\na CNAME .\nSOA 1"}
	for what, c := range map[string]struct {
		key    *Key
		script []string
	}{
		"cut":                     {k, []string{"SOA 2\nb CNAME .", "c CNAME ."}},
		"cut in a difference":     {k, []string{"SOA 2\nSOA 1\na CNAME .\nSOA 2\nb CNAME ."}},
		"no SOA first":            {k, []string{"b CNAME .\nSOA 2"}},
		"ends with another SOA":   {k, []string{"SOA 2\nb CNAME .\nSOA 3"}},
		"steps that go back":      {k, []string{"SOA 3\nSOA 1\na CNAME .\nSOA 0\nSOA 3\nSOA 3", "SOA 3"}},
		"records after the end":   {k, []string{"SOA 2\nb CNAME .\nSOA 2\nc CNAME ."}},
		"nothing in a message":    {k, []string{"SOA 2\nb CNAME .", ""}},
		"refused":                 {k, []string{"REFUSED"}},
		"not signed":              {nil, []string{"SOA 2\nb CNAME .\nSOA 2"}},
		"signed with another key": {other, []string{"SOA 2\nb CNAME .\nSOA 2"}},
	} {
		first := vendor(t, k, primary(t, k, begin))
		if _, err := first.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		first.cfg.From = []netip.AddrPort{primary(t, c.key, c.script)}
		changed, err := first.Refresh(t.Context())
		serial, _ := first.Serial()
		if got, _ := claimsOf(t, first); err == nil || changed || serial != 1 || got != "[a]" {
			t.Errorf("%s: %t, serial %d, %s, %v", what, changed, serial, got, err)
		}
	}
}

// A server may leave messages of a long transfer unsigned, if a later signature covers them:
// all of them, as they were sent.
func TestUnsignedMessagesBetween(t *testing.T) {
	k := testKey(t, "key.test", "hmac-sha256")
	message := func(text string) []byte {
		m := new(mdns.Msg)
		m.Response, m.Answer = true, zoneRecords(text)
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	// signed appends a TSIG record by RFC 8945 §4.3: over the MAC before, the messages, and
	// the variables, or the timers where it is not the first.
	signed := func(raw []byte, before string, between ...[]byte) ([]byte, string) {
		rr := &mdns.TSIG{Hdr: mdns.RR_Header{Name: "key.test.", Rrtype: mdns.TypeTSIG, Class: mdns.ClassANY}, Algorithm: mdns.HmacSHA256, TimeSigned: uint64(time.Now().Unix()), Fudge: 300}
		prior, _ := hex.DecodeString(before)
		h := hmac.New(sha256.New, k.secret)
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(prior))))
		h.Write(prior)
		for _, b := range append(between, raw) {
			h.Write(b)
		}
		timers := binary.BigEndian.AppendUint64(nil, rr.TimeSigned)[2:]
		timers = binary.BigEndian.AppendUint16(timers, rr.Fudge)
		if len(between) == 0 {
			h.Write([]byte("\x03key\x04test\x00\x00\xff\x00\x00\x00\x00\x0bhmac-sha256\x00"))
			timers = append(timers, 0, 0, 0, 0)
		}
		h.Write(timers)
		mac := hex.EncodeToString(h.Sum(nil))
		rr.MAC, rr.MACSize = mac, 32
		buf := make([]byte, 512)
		n, err := mdns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(bytes.Clone(raw), buf[:n]...)
		raw[11]++ // ARCOUNT
		return raw, mac
	}
	request := strings.Repeat("ab", 32)
	first, mac := signed(message("SOA 2\na CNAME ."), request)
	between := [][]byte{message("b CNAME ."), message("c CNAME .")}
	last, _ := signed(message("SOA 2"), mac, between...)
	for what, c := range map[string]struct {
		messages [][]byte
		want     string
	}{
		"covered":                   {[][]byte{first, between[0], between[1], last}, "[a b c]"},
		"one is not there":          {[][]byte{first, between[0], last}, "bad signature"},
		"one is another":            {[][]byte{first, between[0], message("evil CNAME ."), last}, "bad signature"},
		"the last is not signed":    {[][]byte{first, between[0], between[1], message("SOA 2")}, errUnsigned.Error()},
		"the first is not signed":   {[][]byte{message("SOA 2\na CNAME ."), last}, errUnsigned.Error()},
		"too many are not signed":   {append([][]byte{first}, slices.Repeat(between[:1], maxUnsigned+1)...), errUnsigned.Error()},
		"signed, and ends too soon": {[][]byte{first}, errCut.Error()},
	} {
		ours, theirs := net.Pipe()
		go func() {
			for _, m := range c.messages {
				writeFrame(theirs, m)
			}
			theirs.Close()
		}()
		v := vendor(t, k, netip.MustParseAddrPort("192.0.2.1:53"))
		next, err := v.receive(ours, 0, &session{key: k, mac: request})
		ours.Close()
		v.held = next
		got := fmt.Sprint(err)
		if err == nil {
			got, _ = claimsOf(t, v)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

// held is a vendor that holds records.
func held(t testing.TB, text string) *Vendor {
	v := vendor(t, nil, netip.MustParseAddrPort("192.0.2.1:53"))
	v.held = &holding{lines: map[string]struct{}{}}
	for _, rr := range zoneRecords(text) {
		if err := v.held.add(line(rr, v.zone)); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// What we serve, we read: one shoji follows another.
func TestVendorOfOurOwn(t *testing.T) {
	w := newWorld()
	k := testKey(t, "key.test", "hmac-sha256")
	z, err := New(Config{Content: content(Sinkhole), Walk: w.walk})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen(ServerConfig{Zone: z, Keys: []*Key{k}, Listen: []netip.AddrPort{netip.MustParseAddrPort("[::1]:0")}, Allow: []Grant{{From: netip.MustParsePrefix("::1/128"), Key: k}}})
	if err != nil {
		t.Skip("no IPv6:", err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(t.Context()) }()
	v := vendor(t, k, s.Addrs()[0])
	for i, c := range []struct{ change, want string }{
		{"+a.test", "[a.test]"}, {"+*.b.test", "[*.b.test a.test b.test]"}, {"+2001:db8::/32", "[*.b.test 32.zz.db8.2001.rpz-ip a.test b.test]"}, {"-a.test", "[*.b.test 32.zz.db8.2001.rpz-ip b.test]"},
	} {
		w.change(c.change)
		z.take(t.Context(), w.publish())
		changed, err := v.Refresh(t.Context())
		if got, _ := claimsOf(t, v); err != nil || !changed || got != c.want {
			t.Errorf("%d: %t, %s, %v", i, changed, got, err)
		}
	}
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// FuzzTransfer gives a vendor's messages to what puts them together: whatever they are, it
// ends with a zone that its own serial number is of, or with an error and the zone as it was.
func FuzzTransfer(f *testing.F) {
	frame := func(texts ...string) (all []byte) {
		for _, text := range texts {
			m := new(mdns.Msg)
			m.Response, m.Answer = true, zoneRecords(text)
			raw, _ := m.Pack()
			all = append(binary.BigEndian.AppendUint16(all, uint16(len(raw))), raw...)
		}
		return all
	}
	f.Add(frame("SOA 1\na CNAME .", "SOA 1"))
	f.Add(frame("SOA 9"))
	f.Add(frame("SOA 11\nSOA 9\na CNAME .\nSOA 10\nb CNAME .\nSOA 10\nSOA 11\nSOA 11"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := held(t, "a CNAME .\n*.a CNAME rpz-passthru.\n24.0.2.0.192.rpz-ip CNAME .").held
		before.serial = 9
		for _, from := range []*holding{nil, before} {
			in := &intake{zone: testOrigin, held: from}
			var err error
			for rest := data; len(rest) >= 2 && err == nil && !in.done; {
				n := min(int(binary.BigEndian.Uint16(rest)), len(rest)-2)
				err = in.message(rest[2:2+n], 0, &session{})
				rest = rest[2+n:]
			}
			var next *holding
			if err == nil && in.done {
				next, err = in.finish()
			}
			if err != nil || !in.done {
				if len(before.lines) != 3 || before.serial != 9 {
					t.Fatalf("%v, and the zone is %v", err, before)
				}
				continue
			}
			if next == nil {
				continue
			}
			octets := 0
			for l := range next.lines {
				octets += len(l)
			}
			if next.serial != in.soa.Serial || octets != next.octets {
				t.Fatalf("serial %d of %d, %d octets of %d", next.serial, in.soa.Serial, octets, next.octets)
			}
			claimsOf(t, &Vendor{zone: testOrigin, held: next})
		}
	})
}
