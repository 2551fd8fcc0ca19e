package cache

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	maxMessage = 65535 // octets, RFC 1035 §4.2.2
	maxLeads   = 65535 // octets; what an entry's header can say
	// maxText is the longest text of an Extended DNS Error that is kept; a longer one is
	// cut. It is for people, and a reply has little room.
	maxText = 255

	recordFixed = 10 // octets of a record besides its name and RDATA, RFC 1035 §4.1.3
)

// encoder makes the image of an entry: the same words in memory of its own.
type encoder struct {
	header header
	words  []uint64
	gen    atomic.Uint64 // never changes: an image is always valid

	build dns.Builder
	// records in the order of the message, and for each its place in the answer's order
	records []*dns.RR
	order   []uint16
	split   [4]int // where ansData, ansSigs, authData and authSigs end in records
	leads   []byte
}

// image is the entry that encode made.
func (c *encoder) image() []uint64 {
	words := c.words[:c.header.words]
	copy(words, (*[headerWords]uint64)(unsafe.Pointer(&c.header))[:])
	return words
}

// isProof reports whether a record only serves to prove others, so that it is left out of
// replies to queries without DO that did not ask for it (RFC 4035 §3.2.1).
func isProof(t, asked dns.Type) bool {
	switch t {
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
		return t != asked
	}
	return false
}

// encode makes an image of a. It reports false where a does not fit into a message.
func (c *encoder) encode(a *answer.Answer) bool {
	c.sort(a)
	code, text, odd := a.Error()
	text = text[:min(len(text), maxText)]
	c.header = header{
		born: a.Born().UnixNano(), ttl: int64(a.TTL()), status: a.Status(), rcode: a.RCode(), ede: code,
		qtype: a.Type(), name: uint8(len(a.Name())), text: uint8(len(text)),
	}
	h := &c.header
	if odd {
		h.flags |= hasError
	}
	if odd || a.Status().EDE() != 0 {
		h.flags |= isOdd
	}
	if isFailure(a) {
		h.flags |= hasFailure
	}
	if !slices.IsSorted(c.order) {
		h.flags |= hasOrder
	}
	signatures, data := c.split[1]-c.split[0], c.split[2]-c.split[1]
	if signatures > 0 && data > 0 {
		h.flags |= ownPlain
	}
	answers, plainAnswers := c.split[1], c.split[0]
	authority, plainAuthority := c.split[3]-c.split[1], data
	if len(c.records) > maxMessage/recordFixed || !c.encodeLeads(a) {
		return false
	}
	h.counts = [4]uint16{uint16(answers), uint16(authority), uint16(plainAnswers), uint16(plainAuthority)}
	h.leads = uint16(len(c.leads))
	c.room(a, len(text))
	if !c.encodeMessages(a) {
		return false
	}
	if h.flags&hasOrder != 0 {
		putTable(c.words[h.order():], c.order)
	}
	copy(c.octets(h.leadsAt()), c.leads)
	copy(c.octets(h.textAt()), text)
	words := h.textAt() + wordsOf(len(text))
	h.words = uint32((words + unitWords - 1) / unitWords * unitWords)
	return true
}

func isFailure(a *answer.Answer) bool {
	return a.RCode() != dns.RCodeSuccess && a.RCode() != dns.RCodeNameError || a.Status().IsBogus()
}

// sort puts the records into the order of the message (see header).
func (c *encoder) sort(a *answer.Answer) {
	c.records, c.order = c.records[:0], c.order[:0]
	pick := func(section []dns.RR, base int, proofs bool) {
		for i := range section {
			if isProof(section[i].Type, a.Type()) == proofs {
				c.records = append(c.records, &section[i])
				c.order = append(c.order, uint16(base+i))
			}
		}
	}
	for i := range c.split {
		section, base := a.Answer(), 0
		if i >= 2 {
			section, base = a.Authority(), len(a.Answer())
		}
		pick(section, base, i%2 == 1)
		c.split[i] = len(c.records)
	}
}

// room makes words long enough for the image, as if nothing were compressed, and zero.
func (c *encoder) room(a *answer.Answer, text int) {
	message := len(a.Name()) + 4
	for _, rr := range c.records {
		message += len(rr.Name) + recordFixed + len(rr.Data)
	}
	message = min(message, maxMessage)
	n := headerWords + 3*wordsOf(2*len(c.records)) + 2*wordsOf(message) + wordsOf(len(c.leads)) + wordsOf(text) + unitWords
	c.words = slices.Grow(c.words[:0], n)[:n]
	clear(c.words)
}

// octets is the image from a word on.
func (c *encoder) octets(word int) []byte {
	words := c.words[word:]
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*wordBytes)
}

// encodeMessages writes the renderings and the tables of their TTLs.
func (c *encoder) encodeMessages(a *answer.Answer) bool {
	h := &c.header
	var offsets []uint16
	n, plain, offsets := c.encodeMessage(a, h.message(), c.records, c.split[:])
	if n == 0 {
		return false
	}
	h.full, h.plain = uint16(n), uint16(plain)
	putTable(c.words[headerWords:], offsets)
	if h.flags&ownPlain == 0 {
		return true
	}
	records := slices.Concat(c.records[:c.split[0]], c.records[c.split[1]:c.split[2]])
	answers := c.split[0]
	n, _, offsets = c.encodeMessage(a, h.plainMessage(), records, []int{answers, answers, len(records), len(records)})
	h.plain = uint16(n)
	putTable(c.words[h.plainTable():], offsets)
	return n > 0
}

// encodeMessage writes the message of some records, from the question on, to a word. It
// returns its length, 0 where it is too long, that of the plain message that it begins with,
// and where the TTLs are.
func (c *encoder) encodeMessage(a *answer.Answer, word int, records []*dns.RR, split []int) (n, plain int, offsets []uint16) {
	// The message's header lies on what precedes the word: the entry's header and tables,
	// which are written later.
	all := c.octets(0)
	var saved [messageHeader]byte
	before := all[word*wordBytes-messageHeader : word*wordBytes]
	copy(saved[:], before)
	b := &c.build
	b.Reset(all[:word*wordBytes-messageHeader], maxMessage)
	defer func() { copy(before, saved[:]) }()
	if !b.Question([]byte(a.Name()), a.Type(), dns.ClassIN) {
		return 0, 0, nil
	}
	msg := all[word*wordBytes-messageHeader:]
	plain = b.Len() - messageHeader
	offsets = make([]uint16, 0, len(records))
	for i, rr := range records {
		at, section := b.Len(), dns.SectionAnswer
		if i >= split[1] {
			section = dns.SectionAuthority
		}
		if !b.Add(section, rr) {
			return 0, 0, nil
		}
		offsets = append(offsets, uint16(ttlOffset(msg, at)))
		if i < split[0] || split[1] == split[0] && i < split[2] {
			plain = b.Len() - messageHeader
		}
	}
	return b.Len() - messageHeader, plain, offsets
}

// ttlOffset is where the TTL of the record at an offset is.
func ttlOffset(msg []byte, at int) int {
	for msg[at] != 0 && msg[at] < 0xC0 {
		at += int(msg[at]) + 1
	}
	if msg[at] != 0 {
		at++ // a pointer has two octets
	}
	return at + 1 + 4 // type and class
}

// putTable stores four values a word, the first lowest.
func putTable(words []uint64, table []uint16) {
	for i, v := range table {
		words[i/4] |= uint64(v) << (i % 4 * 16)
	}
}

func (c *encoder) encodeLeads(a *answer.Answer) bool {
	c.leads = c.leads[:0]
	for name := range a.Targets() {
		c.leads = append(append(c.leads, leadName), name.Canonical()...)
		if len(c.leads) > maxLeads {
			return false
		}
	}
	for addr := range a.Addrs() {
		c.leads = appendLead(c.leads, addr)
		if len(c.leads) > maxLeads {
			return false
		}
	}
	return true
}

func appendLead(leads []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		b := addr.As4()
		return append(append(leads, lead4), b[:]...)
	}
	b := addr.As16()
	return append(append(leads, lead6), b[:]...)
}

// Encoded is an answer in the form of an entry that is in no cache.
type Encoded struct{ enc encoder }

// Entry makes an entry of a, that is good until the next call. So an answer that was just
// learned is written by the same code as one that is remembered. It reports false where the
// answer does not fit into a message.
func (x *Encoded) Entry(a *answer.Answer, e *Entry) bool {
	if !x.enc.encode(a) {
		return false
	}
	*e = Entry{words: x.enc.image(), header: x.enc.header, genNow: &x.enc.gen}
	return true
}

// Answer is the answer that an entry was made of. It is the same but for the case of letters
// in names that the message holds in several spellings, of which one is kept. It reports
// false if the entry was evicted meanwhile.
func (e *Entry) Answer() (*answer.Answer, bool) {
	h := &e.header
	msg := make([]byte, messageHeader+int(h.full))
	binary.BigEndian.PutUint64(msg, 1<<16|uint64(h.counts[fullAnswer]))
	binary.BigEndian.PutUint32(msg[8:], uint32(h.counts[fullAuthority])<<16)
	copyWords(msg[messageHeader:], e.words[h.message():])
	order := make([]uint16, h.records())
	for i := range order {
		order[i] = uint16(i)
		if h.flags&hasOrder != 0 {
			order[i] = uint16(atomic.LoadUint64(&e.words[h.order()+i/4]) >> (i % 4 * 16))
		}
	}
	code, text, odd, ok := e.Error(nil)
	if !ok || !e.valid() {
		return nil, false
	}
	var m dns.Message
	if err := m.Unpack(msg); err != nil || len(m.Question) != 1 {
		return nil, false // no message that Builder made is malformed
	}
	p := answer.Parts{
		Name: m.Question[0].Name, Type: h.qtype, RCode: h.rcode, Status: h.status,
		HasError: odd, ErrorCode: code, ErrorText: string(text),
		Born: time.Unix(0, h.born), TTL: time.Duration(h.ttl),
	}
	all := make([]dns.RR, len(order))
	for i, rr := range slices.Concat(m.Answer, m.Authority) {
		all[order[i]] = rr
	}
	n := len(m.Answer)
	p.Answer, p.Authority = all[:n:n], all[n:]
	return answer.New(p), true
}
