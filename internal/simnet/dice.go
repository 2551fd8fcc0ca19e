package simnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// What chance decides is a function of the seed, the server, the transport, the
// question (in lower case, without ID and EDNS, which resolvers draw at random)
// and the attempt: how often the same question went the same way before. So a
// run gives the same draws however its goroutines interleave.

// maxAttempts bounds the memory of attempts; a lab may run for long. When it is
// full, all counts start again.
const maxAttempts = 1 << 18

// question is the wire form of a query's first question in lower case: name,
// type, class. For a query that has none it is all that follows the ID.
type question []byte

func readQuestion(query []byte) question {
	if len(query) < headerSize {
		return bytes.Clone(query)
	}
	end := headerSize
	for end < len(query) && query[end] != 0 && query[end] < 64 {
		end += int(query[end]) + 1
	}
	if end += 5; end > len(query) || query[end-5] != 0 {
		return bytes.Clone(query[2:])
	}
	q := bytes.Clone(query[headerSize:end])
	for i, c := range q[:len(q)-4] {
		if 'A' <= c && c <= 'Z' {
			q[i] = c + 'a' - 'A'
		}
	}
	return q
}

// String is the name and type in presentation form.
func (q question) String() (name, qtype string) {
	if len(q) < 5 {
		return "?", "?"
	}
	name, end, err := dns.UnpackDomainName(q[:len(q)-4], 0)
	if err != nil || end != len(q)-4 {
		return "?", "?"
	}
	return name, dns.Type(binary.BigEndian.Uint16(q[end:])).String()
}

// key is a digest of all that decides a draw.
type key [sha256.Size]byte

func attemptKey(seed uint64, addr netip.Addr, tcp bool, q question) key {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 64), seed)
	a := addr.As16()
	b = append(b, a[:]...)
	if tcp {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return sha256.Sum256(append(b, q...))
}

// attempts counts how often each question was put.
type attempts struct {
	mu    sync.Mutex
	count map[key]uint32
}

func (a *attempts) next(k key) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count == nil || len(a.count) >= maxAttempts {
		a.count = make(map[key]uint32)
	}
	n := a.count[k]
	a.count[k] = n + 1
	return n
}

// dice are the draws of one exchange.
type dice struct{ rng *rand.Rand }

func newDice(seed uint64, addr netip.Addr, tcp bool, q question, attempt uint32) *dice {
	k := attemptKey(seed, addr, tcp, q)
	k = sha256.Sum256(binary.BigEndian.AppendUint32(k[:], attempt))
	return &dice{rand.New(rand.NewPCG(binary.BigEndian.Uint64(k[:]), binary.BigEndian.Uint64(k[8:])))}
}

// chance is true with probability p. It draws in any case, so that turning one
// fault off does not shift the others.
func (d *dice) chance(p float64) bool { return d.rng.Float64() < p }

func (d *dice) float() float64 { return d.rng.Float64() }
func (d *dice) intn(n int) int { return d.rng.IntN(n) }

// duration is from 0 up to most.
func (d *dice) duration(most time.Duration) time.Duration {
	return time.Duration(d.rng.Float64() * float64(most))
}

// travel is the time of one direction.
func (d *dice) travel(f *Faults) time.Duration { return (f.Latency + d.duration(f.Jitter)) / 2 }

// retransmit is the time that lost TCP segments cost; false if all were lost.
func (d *dice) retransmit(f *Faults) (time.Duration, bool) {
	var wait time.Duration
	for i := range maxRetransmits + 1 {
		if !d.chance(f.Loss) {
			return wait, true
		}
		wait += firstRetransmit << i
	}
	return 0, false
}

// Forged4 and Forged6 are the addresses that every forged reply leads to:
// whoever finds one in an answer or a cache has been poisoned.
var (
	Forged4 = netip.MustParseAddr("198.19.255.66")
	Forged6 = netip.MustParseAddr("2001:db8:bad::66")
)

// forgery is a reply from somebody who does not see the query. One thing about
// it is always wrong: the ID, the letter case of the name (where the query has
// letters), the question, or the port.
func (d *dice) forgery(query []byte) ([]byte, What) {
	what := [...]What{ForgedID, ForgedCase, ForgedQuestion, ForgedPort}[d.intn(4)]
	guess := uint16(d.rng.Uint32())
	flip := d.rng.Uint64()
	var q dns.Msg
	if q.Unpack(query) != nil || len(q.Question) != 1 {
		return nil, ForgedPort
	}
	m := new(dns.Msg)
	m.SetReply(&q)
	m.Authoritative, m.Compress = true, true
	switch what {
	case ForgedCase:
		if m.Question[0].Name = flipCase(q.Question[0].Name, flip); m.Question[0].Name == q.Question[0].Name {
			what = ForgedID
		}
	case ForgedQuestion:
		m.Question[0].Name = "forged." + strings.TrimPrefix(q.Question[0].Name, ".")
	}
	if what == ForgedID {
		if m.Id = guess; m.Id == q.Id {
			m.Id++
		}
	}
	poison(m)
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(maxUDP, opt.Do())
	}
	out, err := m.Pack()
	if err != nil {
		return nil, ForgedPort // a name too long to put a label before
	}
	return out, what
}

// poison fills a reply with the attacker's address, as answer and as the name
// server of the name and of its parent.
func poison(m *dns.Msg) {
	name := m.Question[0].Name
	hdr := func(owner string, t uint16) dns.RR_Header {
		return dns.RR_Header{Name: owner, Rrtype: t, Class: dns.ClassINET, Ttl: 604800}
	}
	switch m.Question[0].Qtype {
	case dns.TypeAAAA:
		m.Answer = []dns.RR{&dns.AAAA{Hdr: hdr(name, dns.TypeAAAA), AAAA: Forged6.AsSlice()}}
	case dns.TypeNS:
		m.Answer = []dns.RR{&dns.NS{Hdr: hdr(name, dns.TypeNS), Ns: "forged.test."}}
	default:
		m.Answer = []dns.RR{&dns.A{Hdr: hdr(name, dns.TypeA), A: Forged4.AsSlice()}}
	}
	for _, owner := range []string{name, parent(name)} {
		m.Ns = append(m.Ns, &dns.NS{Hdr: hdr(owner, dns.TypeNS), Ns: "forged.test."})
	}
	m.Extra = append(m.Extra,
		&dns.A{Hdr: hdr("forged.test.", dns.TypeA), A: Forged4.AsSlice()},
		&dns.AAAA{Hdr: hdr("forged.test.", dns.TypeAAAA), AAAA: Forged6.AsSlice()})
}

// flipCase turns some letters of a name, at least one if it has any.
func flipCase(name string, which uint64) string {
	b := []byte(name)
	isLetter := func(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
	flipped := false
	for i, c := range b {
		if isLetter(c) && which>>(i%64)&1 == 1 {
			b[i], flipped = c^0x20, true
		}
	}
	if !flipped {
		if i := slices.IndexFunc(b, isLetter); i >= 0 {
			b[i] ^= 0x20
		}
	}
	return string(b)
}

// truncated is a reply emptied of its records, with the TC bit; nil for what is no message.
func truncated(reply []byte) []byte {
	var m dns.Msg
	if m.Unpack(reply) != nil {
		return nil
	}
	opt := m.IsEdns0()
	m.Answer, m.Ns, m.Extra, m.Truncated = nil, nil, nil, true
	if opt != nil {
		m.Extra = []dns.RR{opt}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}
