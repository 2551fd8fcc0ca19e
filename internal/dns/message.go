package dns

// Question is what a message asks (RFC 1035 §4.1.2).
type Question struct {
	Name  Name
	Type  Type
	Class Class
}

// Message is a parsed message: what an upstream replied, what a client or a test reads.
// Names are decompressed, and the OPT record is lifted out of Additional.
type Message struct {
	ID         uint16
	Flags      Flags
	RCode      RCode // all 12 bits; the low four are in Flags as well after Unpack
	Question   []Question
	Answer     []RR
	Authority  []RR
	Additional []RR
	EDNS       *EDNS // nil without an OPT record
}

// unpacker is the state of one Unpack.
type unpacker struct {
	msg  []byte
	off  int
	last Name   // the name read last: owners mostly repeat
	data []byte // where RDATA is copied to; one allocation serves most messages
	buf  [MaxName]byte
}

// Unpack parses a message, of which it keeps nothing. Every error is a kind of
// ErrFormat, and after one m means nothing. Records of one message share memory:
// whoever keeps a few of many for long copies their Data.
//
// The header's counts size nothing before they are compared with the octets that are
// there (RFC 9267 §6). A QUERY has one question at most (RFC 9619); OPT stands alone,
// owned by the root, in the additional section; nothing follows the last record.
func (m *Message) Unpack(b []byte) error {
	*m = Message{}
	if len(b) < headerLen {
		return ErrShort
	}
	if len(b) > maxMessage {
		return ErrTrailing
	}
	m.ID, m.Flags = be16(b), Flags(be16(b[2:]))
	m.RCode = m.Flags.RCode()
	u := unpacker{msg: b, off: headerLen}
	if err := u.questions(m, int(be16(b[4:]))); err != 0 {
		return err
	}
	for s, section := range [...]*[]RR{&m.Answer, &m.Authority, &m.Additional} {
		count := int(be16(b[6+2*s:]))
		if err := u.records(m, section, count, s == 2); err != 0 {
			return err
		}
	}
	if u.off != len(b) {
		return ErrTrailing
	}
	return nil
}

// name reads a name. One that is the same as the last shares its memory.
func (u *unpacker) name() (Name, Error) {
	n, next, err := unpackName(u.msg, u.off, &u.buf)
	if err != 0 {
		return "", err
	}
	u.off = next
	if string(u.last) != string(u.buf[:n]) {
		u.last = Name(u.buf[:n])
	}
	return u.last, 0
}

func (u *unpacker) questions(m *Message, count int) Error {
	const shortest = 1 + 4 // the root, type and class
	if count*shortest > len(u.msg)-u.off || count > 1 && m.Flags.Opcode() == OpcodeQuery {
		return ErrCount
	}
	for ; count > 0; count-- {
		name, err := u.name()
		if err != 0 {
			return err
		}
		if u.off+4 > len(u.msg) {
			return ErrShort
		}
		fixed := u.msg[u.off:]
		m.Question = append(m.Question, Question{name, Type(be16(fixed)), Class(be16(fixed[2:]))})
		u.off += 4
	}
	return 0
}

// records reads a section. OPT is lifted out of the additional one.
func (u *unpacker) records(m *Message, section *[]RR, count int, additional bool) Error {
	if count == 0 {
		return 0
	}
	if count*(1+rrFixedLen) > len(u.msg)-u.off {
		return ErrCount
	}
	rrs := make([]RR, 0, count)
	for ; count > 0; count-- {
		owner := u.off
		r, err := u.record()
		if err != 0 {
			return err
		}
		if r.Type != TypeOPT {
			rrs = append(rrs, r)
			continue
		}
		if !additional || m.EDNS != nil || u.msg[owner] != 0 {
			return ErrOPT
		}
		if m.EDNS, err = unpackOPT(uint16(r.Class), r.TTL, r.Data); err != 0 {
			return err
		}
		m.RCode |= RCode(r.TTL>>24) << 4
	}
	if len(rrs) > 0 {
		*section = rrs
	}
	return 0
}

func (u *unpacker) record() (RR, Error) {
	name, err := u.name()
	if err != 0 {
		return RR{}, err
	}
	if u.off+rrFixedLen > len(u.msg) {
		return RR{}, ErrShort
	}
	fixed := u.msg[u.off : u.off+rrFixedLen]
	u.off += rrFixedLen
	end := u.off + int(be16(fixed[8:]))
	if end > len(u.msg) {
		return RR{}, ErrShort
	}
	r := RR{Name: name, Type: Type(be16(fixed)), Class: Class(be16(fixed[2:])), TTL: be32(fixed[4:])}
	if u.data == nil {
		u.data = make([]byte, 0, len(u.msg))
	}
	start := len(u.data)
	if u.data, err = unpackData(u.data, u.msg, u.off, end, r.Type); err != 0 {
		return RR{}, err
	}
	r.Data = u.data[start:len(u.data):len(u.data)]
	u.off = end
	return r, 0
}

// Append appends m in wire form, with compression. Flags' low four bits are replaced by
// RCode's. It fails with ErrTooLong beyond 65535 octets and with ErrFormat where a name
// is malformed, RDATA is not as its type lays it out, or a code above 15 has no EDNS.
func (m *Message) Append(out []byte) ([]byte, error) {
	if m.RCode > 0xFFF || m.RCode > RCode(maskRCode) && m.EDNS == nil {
		return out, ErrFormat
	}
	var b Builder
	b.Reset(out, maxMessage)
	b.Header(m.ID, m.Flags.WithRCode(m.RCode))
	for _, q := range m.Question {
		if _, rest, ok := ReadName([]byte(q.Name)); !ok || len(rest) > 0 {
			return out, ErrFormat
		}
		if !b.Question([]byte(q.Name), q.Type, q.Class) {
			return out, ErrTooLong
		}
	}
	for s, section := range [...][]RR{m.Answer, m.Authority, m.Additional} {
		for i := range section {
			if err := m.appendRecord(&b, SectionAnswer+Section(s), &section[i]); err != nil {
				return out, err
			}
		}
	}
	if e := m.EDNS; e != nil {
		if !b.OPT(e.UDPSize, m.RCode, e.DO, e.Options...) {
			return out, ErrTooLong
		}
		b.buf[b.opt-3] = e.Version
	}
	return b.Bytes(), nil
}

func (m *Message) appendRecord(b *Builder, s Section, r *RR) error {
	n, ok := nameLen(r.Name)
	if !ok || n != len(r.Name) || r.Type == TypeOPT || !checkData(r.Type, r.Data) {
		return ErrFormat
	}
	if !b.Add(s, r) {
		return ErrTooLong
	}
	return nil
}
