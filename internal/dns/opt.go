package dns

import "encoding/binary"

// OPT appends the OPT record (RFC 6891 §6.1.2) with the given options, and sets the
// response code: its low bits in the header, the others here. Further options follow
// by Option, Error, Cookie, Keepalive, NSID and Pad; other records do not. It reports
// false, and has written nothing, where it does not fit or an OPT is there already.
func (b *Builder) OPT(size uint16, r RCode, do bool, options ...Option) bool {
	if b.opt != 0 {
		return false
	}
	m, flags := b.Mark(), b.Flags()
	b.buf = append(b.buf, 0, 0, byte(TypeOPT), byte(size>>8), byte(size), byte(r>>4), 0, 0, 0, 0, 0)
	if do {
		b.buf[len(b.buf)-4] = optFlagDO >> 8
	}
	if !b.commit(m.length, m.suffixes, b.limit, SectionAdditional) {
		return false
	}
	b.opt = len(b.buf) - 2
	b.SetFlags(flags.WithRCode(r))
	for _, o := range options {
		if !b.Option(o.Code, o.Data) {
			b.Rewind(m)
			b.SetFlags(flags)
			return false
		}
	}
	return true
}

// option begins an option of n octets in the OPT record written last.
func (b *Builder) option(code uint16, n int) bool {
	if b.opt == 0 || n < 0 || len(b.buf)+optionLen+n > b.limit {
		return false
	}
	length := b.buf[b.opt:]
	binary.BigEndian.PutUint16(length, be16(length)+uint16(optionLen+n))
	b.buf = binary.BigEndian.AppendUint16(b.buf, code)
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(n))
	return true
}

// Option appends an option. It reports false, and has written nothing, where it does
// not fit or there is no OPT.
func (b *Builder) Option(code uint16, data []byte) bool {
	if !b.option(code, len(data)) {
		return false
	}
	b.buf = append(b.buf, data...)
	return true
}

// ReplyOptions appends the options of q.Reply. It reports false, and has written nothing,
// where they do not fit or there is no OPT.
func (b *Builder) ReplyOptions(q *Query) bool {
	n := q.Reply.Len()
	if b.opt == 0 || len(b.buf)+n > b.limit {
		return false
	}
	length := b.buf[b.opt:]
	binary.BigEndian.PutUint16(length, be16(length)+uint16(n))
	b.buf = q.AppendReplyOptions(b.buf)
	return true
}

// Error appends an Extended DNS Error (RFC 8914 §2). The text is UTF-8 and may be empty.
func (b *Builder) Error(code ErrorCode, text string) bool {
	if !b.option(OptionEDE, 2+len(text)) {
		return false
	}
	b.buf = binary.BigEndian.AppendUint16(b.buf, uint16(code))
	b.buf = append(b.buf, text...)
	return true
}

// Cookie appends a COOKIE: the client's part and the server's, if any (RFC 7873 §4).
func (b *Builder) Cookie(client [clientCookie]byte, server []byte) bool {
	if !b.option(OptionCookie, len(client)+len(server)) {
		return false
	}
	b.buf = append(append(b.buf, client[:]...), server...)
	return true
}

// Keepalive appends an idle timeout in units of 100 ms (RFC 7828 §3.1).
func (b *Builder) Keepalive(timeout uint16) bool {
	if !b.option(OptionKeepalive, 2) {
		return false
	}
	b.buf = binary.BigEndian.AppendUint16(b.buf, timeout)
	return true
}

// NSID appends the server's identifier (RFC 5001 §2.2).
func (b *Builder) NSID(id string) bool {
	if !b.option(OptionNSID, len(id)) {
		return false
	}
	b.buf = append(b.buf, id...)
	return true
}

// Pad appends padding up to the next multiple of block octets, or up to the limit
// where that is nearer (RFC 7830 §3, RFC 8467 §4.1). It comes last.
func (b *Builder) Pad(block int) bool {
	if block <= 0 {
		return false
	}
	n := b.Len() + optionLen
	size := min((n+block-1)/block*block, b.limit-b.start)
	if !b.option(OptionPadding, size-n) {
		return false
	}
	for ; n < size; n++ {
		b.buf = append(b.buf, 0)
	}
	return true
}

// AppendError appends a reply to q that holds nothing but the response code, the
// question where it could be read, and an OPT where the request had one (RFC 6891 §7).
// A code that needs an OPT becomes SERVFAIL where there is none.
func AppendError(out []byte, q *Query, r RCode) []byte {
	if r > RCode(maskRCode) && !q.HasEDNS {
		r = RCodeServerFailure
	}
	var b Builder
	b.Reset(out, maxMessage)
	b.Header(q.ID, q.ReplyFlags().WithRCode(r))
	if q.nameLen > 0 {
		b.Question(q.RawName(), q.Type, q.Class)
	}
	if q.HasEDNS {
		b.OPT(DefaultUDPSize, r, q.DO)
		b.ReplyOptions(q)
	}
	return b.Bytes()
}
