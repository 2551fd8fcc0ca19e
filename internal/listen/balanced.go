package listen

import (
	"io"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/listen/balancer"
)

// speaker is whom a datagram is from, and the packet in it. It reports false for one that is to be dropped: with
// a PROXY header from who is no balancer of ours, or from one of those without.
func (s *Server) speaker(from netip.AddrPort, packet []byte) (netip.AddrPort, []byte, bool) {
	if len(s.balancers) == 0 || !s.balancers.contains(from.Addr()) {
		return from, packet, !balancer.Begins(packet)
	}
	h, n, err := balancer.Parse(packet)
	if err != nil {
		return from, nil, false
	}
	if h.Client.IsValid() {
		from = h.Client
	}
	return from, packet[n:], true
}

// behind reports that a connection comes from a balancer.
func (s *Server) behind(from netip.Addr) bool {
	return len(s.balancers) > 0 && s.balancers.contains(from)
}

// handshakeRecord is what a TLS connection begins with (RFC 8446 §5.1).
const handshakeRecord = 0x16

// introduced reads the PROXY header that stands before a connection from a balancer, and takes it in as its client's.
// Over TLS the header may be within: then the connection is taken in later. It reports false where there is none, or the client is
// not served.
func (s *Server) introduced(st *stream, secure bool) bool {
	st.conn.SetReadDeadline(time.Now().Add(messageTimeout))
	if s.stopping.Load() {
		return false
	}
	first, err := upTo(st.conn, nil, balancer.HeadLen, 0)
	if err != nil {
		return false
	}
	if secure && first[0] == handshakeRecord {
		st.ahead, st.unknown = first, true
		return true
	}
	h, _, err := introduction(st.conn, first, 0)
	return err == nil && s.introduce(st, h, secure)
}

// introducedWithin reads the PROXY header that a balancer sends over TLS. What is behind it in the same record is
// kept to be read.
func (s *Server) introducedWithin(st *stream, over io.Reader) bool {
	st.conn.SetReadDeadline(time.Now().Add(messageTimeout))
	h, rest, err := introduction(over, nil, maxRecord)
	st.ahead, st.unknown = rest, false
	return err == nil && s.introduce(st, h, false)
}

// introduction reads a PROXY header of which b is the beginning. ahead is how many octets may be read at
// once; what of them is behind the header is the rest.
func introduction(r io.Reader, b []byte, ahead int) (h balancer.Header, rest []byte, err error) {
	if b, err = upTo(r, b, balancer.HeadLen, ahead); err != nil {
		return h, nil, err
	}
	n, err := balancer.Len(b)
	if err != nil {
		return h, nil, err
	}
	if b, err = upTo(r, b, n, ahead); err != nil {
		return h, nil, err
	}
	h, n, err = balancer.Parse(b)
	return h, b[n:], err
}

// upTo reads until b has need octets, and more only where ahead allows it.
func upTo(r io.Reader, b []byte, need, ahead int) ([]byte, error) {
	for len(b) < need {
		room := make([]byte, max(need-len(b), ahead))
		n, err := r.Read(room)
		if b = append(b, room[:n]...); err != nil && len(b) < need {
			return b, err
		}
	}
	return b, nil
}

// introduce takes a connection in as that of whom a balancer speaks for. secure: its TLS handshake is still to come.
func (s *Server) introduce(st *stream, h balancer.Header, secure bool) bool {
	if h.Client.IsValid() {
		st.from, st.forgeable = h.Client.Addr(), h.Datagram
	}
	return s.served(st, secure) && s.conns.settle(st, st.from)
}

// settle counts a connection from a balancer, which had no source so far, as one of a source. It reports false if
// that has no place for it.
func (c *conns) settle(st *stream, from netip.Addr) bool {
	source := sourceOf(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sources[source] >= max(1, c.max/sourceShare) {
		return false
	}
	c.open[st] = source
	c.sources[source]++
	return true
}
