// Package zonefile reads records from the text of zone files (RFC 1035 §5): what an operator
// writes for a zone, a local record, a copy of the root. It is read when a process starts or
// a file changes, never on a query's way.
//
// # Limits and known faults
//
// $INCLUDE is refused: a zone is one file. $GENERATE (BIND) is read, within the bounds of the
// parser. Line numbers in errors are those of the text given.
package zonefile

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// DefaultTTL is the TTL, in seconds, of a record that has none and for which no $TTL or
// earlier record says one.
const DefaultTTL = 3600

// maxRecord is the longest record in wire form, in octets: a name, the fixed part and RDATA.
const maxRecord = dns.MaxName + 10 + 65535

// Records yields the records of a zone file in their order. Relative names are relative to
// origin, which an $ORIGIN in the text may change. After an error, which says the line,
// nothing follows. What is yielded shares no memory.
func Records(text io.Reader, origin dns.Name) iter.Seq2[dns.RR, error] {
	return func(yield func(dns.RR, error) bool) {
		p := foreign.NewZoneParser(text, origin.String(), "")
		p.SetDefaultTTL(DefaultTTL)
		buf := make([]byte, maxRecord)
		for {
			r, more := p.Next()
			if !more {
				break
			}
			ours, err := convert(r, buf)
			if !yield(ours, err) || err != nil {
				return
			}
		}
		if err := p.Err(); err != nil {
			yield(dns.RR{}, errors.New(shortened(strings.TrimPrefix(err.Error(), "dns: "))))
		}
	}
}

// maxError is how much of an error is kept from each of its ends, in octets: what the
// parser quotes may be the whole text.
const maxError = 200

func shortened(text string) string {
	if len(text) <= 2*maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError], "") + " … " + strings.ToValidUTF8(text[len(text)-maxError:], "")
}

// Record reads one record, such as "printer.home.example. 3600 IN A 192.0.2.9". Relative names
// are relative to origin.
func Record(text string, origin dns.Name) (dns.RR, error) {
	var found []dns.RR
	for r, err := range Records(strings.NewReader(text), origin) {
		if err != nil {
			return dns.RR{}, err
		}
		if found = append(found, r); len(found) > 1 {
			return dns.RR{}, errors.New("more than one record")
		}
	}
	if len(found) == 0 {
		return dns.RR{}, errors.New("no record: write one as in a zone file, NAME TTL IN TYPE DATA")
	}
	return found[0], nil
}

// convert is a record in our form, by way of its wire form. buf is long enough for any.
func convert(r foreign.RR, buf []byte) (dns.RR, error) {
	end, err := foreign.PackRR(r, buf, 0, nil, false)
	if err != nil {
		return dns.RR{}, fmt.Errorf("%s: %w", r.Header().Name, err)
	}
	name, rest, ok := dns.ReadName(buf[:end])
	const fixed = 10 // type, class, TTL, length (RFC 1035 §4.1.3)
	if !ok || len(rest) < fixed {
		return dns.RR{}, fmt.Errorf("%s: no record", r.Header().Name)
	}
	h := r.Header()
	return dns.RR{
		Name: name, Type: dns.Type(h.Rrtype), Class: dns.Class(h.Class), TTL: h.Ttl,
		Data: append([]byte(nil), rest[fixed:]...),
	}, nil
}
