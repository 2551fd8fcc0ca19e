package resolve

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	headerLen = 12

	// ednsSize is the UDP payload size offered upstream (DNS flag day 2020): what
	// passes everywhere unfragmented.
	ednsSize = 1232

	// padBlock is what the lengths of encrypted queries are a multiple of (RFC 8467 §4.1).
	padBlock = 128

	optLen      = 11 + 4 + max(maxCookie, padBlock-1)
	maxQueryLen = headerLen + dns.MaxName + 4 + optLen
	maxReplyLen = 4096 // longer replies are given a buffer of their own
)

// hearing is what an accept callback made of a reply.
type hearing uint8

const (
	hearNothing   hearing = iota
	hearReply             // a well-formed reply to the question
	hearTruncated         // TC, or truncated in the middle of a record
	hearForger            // somebody is guessing IDs
	hearCaseless          // everything fits but the letter case
	hearFormError         // the server did not understand the query's form
	hearBare              // an error without the question that it is about
	hearNoCookie          // a server that does cookies would have sent one
	hearBadCookie         // the server's part of the cookie is out of date
)

// attempt is one query on its way to one server: the bytes sent and what was made
// of the bytes that came back.
type attempt struct {
	q     question
	form  form
	tcp   bool
	plain bool // sent without EDNS

	query [maxQueryLen]byte
	n     int
	near  int // near misses so far

	heard   hearing
	msg     *dns.Message
	swapped bool // the reply's question was in another letter case (TCP only)

	scratch [maxReplyLen]byte
}

var attempts = sync.Pool{New: func() any { return new(attempt) }}

// prepare writes the query: a random ID, the question in random letter case where
// the server keeps it, RD for a forwarder, and EDNS with DO
// and a cookie, or padding.
func (a *attempt) prepare(q question, f *form, forward, tcp bool) {
	a.q, a.form, a.tcp, a.plain = q, *f, tcp, !f.edns
	a.near, a.heard, a.msg, a.swapped = 0, hearNothing, nil, false
	var random [2 + (dns.MaxName+7)/8]byte
	rand.Read(random[:])
	b := a.query[:headerLen]
	clear(b)
	copy(b, random[:2])
	flags := dns.Flags(0)
	if forward {
		// CD: what the forwarder thinks of signatures is for its operator; data
		// come whole, and are judged here.
		flags = dns.FlagRD | dns.FlagCD
	}
	binary.BigEndian.PutUint16(b[2:], uint16(flags))
	b[5] = 1 // QDCOUNT
	b = append(b, q.name...)
	if f.mixed {
		mixCase(b[headerLen:], random[2:])
	}
	b = binary.BigEndian.AppendUint16(b, uint16(q.typ))
	b = binary.BigEndian.AppendUint16(b, uint16(dns.ClassIN))
	if f.edns {
		b[11] = 1                                           // ARCOUNT
		b = append(b, 0, 0, 41, ednsSize>>8, ednsSize&0xff) // root, OPT, payload size
		b = append(b, 0, 0, 0x80, 0)                        // extended RCODE, version, DO
		switch {
		case f.padded:
			b = dns.PadMessage(append(b, 0, 0), 0, padBlock, maxQueryLen)
		case f.cookie.n == 0:
			b = append(b, 0, 0)
		default:
			b = binary.BigEndian.AppendUint16(b, 4+uint16(f.cookie.n))
			b = f.cookie.append(b)
		}
	}
	a.n = len(b)
}

// mixCase gives each letter of a wire-form name in lower case the case of one random bit.
func mixCase(name, random []byte) {
	for i, c := range name {
		if 'a' <= c && c <= 'z' && random[i/8]>>(i%8)&1 == 1 {
			name[i] = c - 'a' + 'A'
		}
	}
}

// accept judges one message that arrived from the server. It reports true where
// the wait is over; what was heard says why. All that does not fit is ignored, and
// the wait goes on: a forger must not be able to end it (TuDoor).
func (a *attempt) accept(reply []byte) bool {
	a.heard = a.judge(reply)
	return a.heard != hearNothing
}

func (a *attempt) judge(reply []byte) hearing {
	if len(reply) < headerLen {
		return hearNothing
	}
	flags := dns.Flags(binary.BigEndian.Uint16(reply[2:]))
	if !flags.Has(dns.FlagQR) || flags.Opcode() != 0 {
		return hearNothing
	}
	sameID := reply[0] == a.query[0] && reply[1] == a.query[1]
	if binary.BigEndian.Uint16(reply[4:]) == 0 {
		// RFC 1035 lets a server that could not read the question leave it out;
		// some leave it out of all their errors.
		switch {
		case !sameID || len(reply) != headerLen || flags.RCode() == dns.RCodeSuccess:
			return hearNothing
		case refusesForm(flags.RCode()):
			return hearFormError
		}
		return hearBare
	}
	fits, exact := a.sameQuestion(reply)
	switch {
	case !fits:
		return hearNothing
	case !sameID:
		return a.miss()
	case !exact && !a.tcp:
		return hearCaseless
	case flags.Has(dns.FlagTC) && !a.tcp:
		return hearTruncated
	}
	a.swapped = !exact
	return a.unpack(reply)
}

// miss ignores a reply that somebody else has sent, unless there are many: somebody is
// guessing.
func (a *attempt) miss() hearing {
	if a.near++; a.near > maxNearMisses && !a.tcp {
		return hearForger
	}
	return hearNothing
}

// refusesForm reports a response code by which servers reject EDNS.
func refusesForm(r dns.RCode) bool {
	return r == dns.RCodeFormatError || r == dns.RCodeNotImplemented || r == dns.RCodeBadVers
}

// sameQuestion compares the reply's question with the one sent: without and with
// regard to letter case.
func (a *attempt) sameQuestion(reply []byte) (fits, exact bool) {
	end := headerLen + len(a.q.name) + 4
	if binary.BigEndian.Uint16(reply[4:]) != 1 || len(reply) < end {
		return false, false
	}
	sent, got := a.query[headerLen:end], reply[headerLen:end]
	name := len(a.q.name)
	if string(sent[name:]) != string(got[name:]) {
		return false, false
	}
	if string(sent[:name]) == string(got[:name]) {
		return true, true
	}
	for i, c := range got[:name] {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != a.q.name[i] {
			return false, false
		}
	}
	return true, false
}

// unpack parses a reply whose question fits. The question is first put back into
// lower case, so that names compressed against it do not carry the random case.
func (a *attempt) unpack(reply []byte) hearing {
	own := a.scratch[:]
	if len(reply) > len(own) {
		own = make([]byte, len(reply))
	}
	own = own[:copy(own, reply)]
	copy(own[headerLen:], a.q.name)
	msg := new(dns.Message)
	if msg.Unpack(own) != nil {
		return hearNothing
	}
	switch cookie := a.form.cookie.judge(msg); {
	case cookie == cookieForged:
		return a.miss()
	case cookie == cookieNone && a.form.cookie.whole() && !a.tcp:
		return hearNoCookie
	case msg.RCode == dns.RCodeBadCookie && cookie == cookieFits:
		a.msg = msg
		return hearBadCookie
	}
	if a.form.edns && msg.EDNS == nil && refusesForm(msg.RCode) || msg.RCode == dns.RCodeBadVers {
		return hearFormError
	}
	a.msg = msg
	return hearReply
}
