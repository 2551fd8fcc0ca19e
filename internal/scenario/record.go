package scenario

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// record reads one record of a zone file. Records with empty or opaque RDATA, which stories
// send on purpose, are read too.
func (z zone) record(text string) (rr dns.RR, err error) {
	p := dns.NewZoneParser(strings.NewReader(text+"\n"), z.origin, "")
	p.SetDefaultTTL(z.ttl)
	rr, _ = p.Next()
	if err = p.Err(); err == nil && rr != nil {
		return rr, repair(rr)
	}
	if odd := z.oddRecord(strings.Fields(text)); odd != nil {
		return odd, nil
	}
	if err == nil {
		err = fmt.Errorf("no record in %q", text)
	}
	return nil, err
}

// oddRecord reads "owner [TTL] [class] type", then nothing or "\# length octets".
func (z zone) oddRecord(w []string) dns.RR {
	if len(w) < 2 {
		return nil
	}
	h := dns.RR_Header{Name: absolute(w[0], z.origin), Class: dns.ClassINET, Ttl: z.ttl}
	for i, x := range w[1:] {
		x = strings.ToUpper(x)
		if ttl, err := strconv.ParseUint(x, 10, 32); err == nil {
			h.Ttl = uint32(ttl)
			continue
		}
		if class, ok := dns.StringToClass[x]; ok {
			h.Class = class
			continue
		}
		t, ok := numbered(x, "TYPE", dns.StringToType)
		data := w[i+2:]
		switch {
		case ok && len(data) == 0:
			h.Rrtype = t
			return &dns.RFC3597{Hdr: h}
		case ok && len(data) > 1 && data[0] == `\#`:
			h.Rrtype = t
			return &dns.RFC3597{Hdr: h, Rdata: strings.Join(data[2:], "")}
		}
		return nil
	}
	return nil
}

// repair brings a record into a form that can be sent: type bits in order, base64 whole.
func repair(rr dns.RR) error {
	switch x := rr.(type) {
	case *dns.NSEC:
		x.TypeBitMap = ordered(x.TypeBitMap)
	case *dns.NSEC3:
		x.TypeBitMap = ordered(x.TypeBitMap)
	case *dns.CSYNC:
		x.TypeBitMap = ordered(x.TypeBitMap)
	case *dns.RRSIG:
		x.Signature = whole64(x.Signature)
	case *dns.DNSKEY:
		x.PublicKey = whole64(x.PublicKey)
	}
	_, err := dns.PackRR(rr, make([]byte, dns.MaxMsgSize), 0, nil, false)
	return err
}

func ordered(bits []uint16) []uint16 {
	slices.Sort(bits)
	return slices.Compact(bits)
}

// whole64 mends base64 whose padding is missing or wrong.
func whole64(s string) string {
	if _, err := base64.StdEncoding.DecodeString(s); err == nil {
		return s
	}
	t := strings.TrimRight(s, "=")
	if len(t)%4 == 1 {
		t = t[:len(t)-1]
	}
	b, err := base64.RawStdEncoding.DecodeString(t)
	if err != nil {
		return s
	}
	return base64.StdEncoding.EncodeToString(b)
}

// wireOf is a record with its owner in lower case, in wire form without compression.
func wireOf(rr dns.RR) []byte {
	c := dns.Copy(rr)
	c.Header().Name = strings.ToLower(c.Header().Name)
	buf := make([]byte, dns.MaxMsgSize)
	n, err := dns.PackRR(c, buf, 0, nil, false)
	if err != nil {
		return []byte(c.String())
	}
	return buf[:n]
}

// sameName compares names without regard to letter case.
func sameName(a, b string) bool { return strings.EqualFold(a, b) }
