package dns

import "encoding/binary"

// Section is one of the four parts of a message (RFC 1035 §4.1).
type Section uint8

const (
	SectionQuestion Section = iota
	SectionAnswer
	SectionAuthority
	SectionAdditional
)

// maxSuffixes is how many labels of a message are remembered for compression. A
// referral of a TLD needs about twenty; what comes later is written out.
const maxSuffixes = 64

// Builder appends one message to a caller's buffer. It allocates nothing where the
// buffer's capacity is the limit and 1 KiB: names are written before it shows whether
// their record fits. Sections are written in their order; a record is
// written whole or not at all.
//
// Names are compressed (RFC 1035 §4.1.4) against those written before: the labels
// of a message are kept as a tree from the root down, each once, in a table of fixed
// size.
type Builder struct {
	buf     []byte
	start   int // where the message begins in buf
	limit   int // the longest buf
	reserve int // octets of limit that only OPT may use
	section Section
	opt     int // where the OPT record's RDLENGTH is in buf; 0 before OPT is written
	asked   int // length of the question's name, 0 without one
	counts  [4]uint16

	last     int // index+1 of the suffix that was the last name written, or 0
	suffixes int
	keys     [maxSuffixes]uint32 // parent's index+1, label length and its first octet
	offsets  [maxSuffixes]uint16 // where the label is, from start
}

// Mark is a point in a message to return to.
type Mark struct {
	length, suffixes, opt, asked int
	section                      Section
	counts                       [4]uint16
}

// Reset begins a message at len(out) of at most limit octets, 65535 at most and a
// header at least. The header is zero until Header is called.
func (b *Builder) Reset(out []byte, limit int) {
	b.start = len(out)
	b.limit = b.start + max(min(limit, maxMessage), headerLen)
	b.buf = append(out, make([]byte, headerLen)...)
	b.reserve, b.section, b.opt, b.asked, b.suffixes, b.last = 0, SectionQuestion, 0, 0, 0, 0
	b.counts = [4]uint16{}
}

// Header sets the ID and the flags, whose low bits are the response code.
func (b *Builder) Header(id uint16, f Flags) {
	binary.BigEndian.PutUint16(b.buf[b.start:], id)
	binary.BigEndian.PutUint16(b.buf[b.start+2:], uint16(f))
}

// Flags are the flags as they stand.
func (b *Builder) Flags() Flags { return Flags(be16(b.buf[b.start+2:])) }

// SetFlags replaces the flags.
func (b *Builder) SetFlags(f Flags) { binary.BigEndian.PutUint16(b.buf[b.start+2:], uint16(f)) }

// Reserve keeps n octets free of other records than OPT.
func (b *Builder) Reserve(n int) { b.reserve = n }

// Len is the length of the message so far.
func (b *Builder) Len() int { return len(b.buf) - b.start }

// Bytes is the buffer given to Reset with the message behind what it held.
func (b *Builder) Bytes() []byte { return b.buf }

// Mark is the present state, for Rewind: so an RRset is written whole or not at all.
func (b *Builder) Mark() Mark {
	return Mark{len(b.buf), b.suffixes, b.opt, b.asked, b.section, b.counts}
}

// Rewind undoes what was written since the Mark; the header's ID and flags stay.
func (b *Builder) Rewind(m Mark) {
	b.buf, b.last = b.buf[:m.length], 0
	b.suffixes, b.opt, b.asked, b.section, b.counts = m.suffixes, m.opt, m.asked, m.section, m.counts
	for s, n := range b.counts {
		binary.BigEndian.PutUint16(b.buf[b.start+4+2*s:], n)
	}
	if b.opt != 0 {
		binary.BigEndian.PutUint16(b.buf[b.opt:], uint16(len(b.buf)-b.opt-2))
	}
}

// Question appends the question as it is given. It reports false where it does not
// fit, the name is malformed, or records have been written.
func (b *Builder) Question(name []byte, t Type, c Class) bool {
	n, ok := nameLen(name)
	if b.section != SectionQuestion || b.opt != 0 || !ok || n != len(name) {
		return false
	}
	length, suffixes := len(b.buf), b.suffixes
	appendName(b, name, true)
	b.buf = append(b.buf, byte(t>>8), byte(t), byte(c>>8), byte(c))
	if !b.commit(length, suffixes, b.limit-b.reserve, SectionQuestion) {
		return false
	}
	if length == b.start+headerLen {
		b.asked = n
	}
	return true
}

// commit ends a record of section s. Where the buffer is now longer than limit, it
// goes back to the given length and number of suffixes, and reports false.
func (b *Builder) commit(length, suffixes, limit int, s Section) bool {
	if len(b.buf) > limit || b.counts[s] == 0xFFFF {
		b.buf, b.suffixes, b.last = b.buf[:length], suffixes, 0
		return false
	}
	b.counts[s]++
	binary.BigEndian.PutUint16(b.buf[b.start+4+2*int(s):], b.counts[s])
	b.section = s
	return true
}

// RR appends a record to a section. It reports false, and has written nothing, where
// the record does not fit, the owner's name is malformed, or the section is over.
// RDATA that is not as its type lays it out is written as it is.
func (b *Builder) RR(s Section, name Name, t Type, c Class, ttl uint32, data []byte) bool {
	return appendRR(b, s, name, t, c, ttl, data)
}

// RawRR is RR with the owner's name as octets.
func (b *Builder) RawRR(s Section, name []byte, t Type, c Class, ttl uint32, data []byte) bool {
	return appendRR(b, s, name, t, c, ttl, data)
}

// Add appends r to a section, as RR does.
func (b *Builder) Add(s Section, r *RR) bool {
	return appendRR(b, s, r.Name, r.Type, r.Class, r.TTL, r.Data)
}
