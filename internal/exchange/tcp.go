package exchange

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxIdle bounds the idle connections of a Network, and maxIdlePerServer those
	// to one server: enough for a forwarder that is asked over TCP alone to be asked
	// a few hundred questions a second without new connections.
	maxIdle          = 256
	maxIdlePerServer = 16

	// idleTime is how long an unused connection is kept. RFC 7766 §6.2.3 asks
	// clients to close idle connections; authoritative servers do so themselves
	// after 2 to 10 s, and a connection closed by them only costs a new attempt.
	idleTime = 3 * time.Second

	// maxMessages bounds the messages read on one connection for one query.
	maxMessages = 16

	// firstRead is the room first made for a message; more is made as it arrives,
	// so that a length alone costs nothing.
	firstRead = 4096
)

// maxOpen bounds the connections that are being opened or waited on, and maxOpenTo those
// to one server: a server that answers an octet at a time holds each until its time is
// over. RFC 7766 §6.2.2 asks clients for few connections; resolvers that are asked to use
// TCP alone need one for each query under way.
const (
	maxOpen   = 4096
	maxOpenTo = 256
)

// openConns counts connections in use, by server.
type openConns struct {
	mu  sync.Mutex
	to  map[server]int
	all int
}

func (o *openConns) enter(s server) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == maxOpen || o.to[s] == maxOpenTo {
		return false
	}
	o.all++
	o.to[s]++
	return true
}

func (o *openConns) leave(s server) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all--
	if o.to[s]--; o.to[s] == 0 {
		delete(o.to, s)
	}
}

// conn is a TCP connection with its read buffer.
type conn struct {
	net.Conn
	since time.Time // idle since
}

func (n *Network) tcp(ctx context.Context, s server, query []byte, accept func([]byte) bool) error {
	if !n.open.enter(s) {
		return errFull
	}
	defer n.open.leave(s)
	if c := n.idle.take(s); c != nil {
		heard, err := talk(ctx, c, query, accept)
		if err == nil {
			n.idle.keep(s, c)
			return nil
		}
		c.Close()
		if heard || ctx.Err() != nil {
			return err
		}
		// The server had closed the kept connection: ask over a new one.
	}
	var d net.Dialer
	d.Deadline = deadline(ctx)
	raw, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(s.addr, s.port).String())
	if err != nil {
		return err
	}
	c := &conn{Conn: raw}
	if _, err := talk(ctx, c, query, accept); err != nil {
		c.Close()
		return err
	}
	n.idle.keep(s, c)
	return nil
}

// talk sends one framed query and reads framed messages until one is accepted.
// heard reports whether anything arrived.
func talk(ctx context.Context, c *conn, query []byte, accept func([]byte) bool) (heard bool, err error) {
	if err := c.SetDeadline(deadline(ctx)); err != nil {
		return false, err
	}
	stop := onCancel(ctx, func() { c.SetDeadline(longPast) })
	defer func() {
		// An ended context has set, or is about to set, a deadline in the past: the
		// connection is not fit to be kept.
		if !stop() && err == nil {
			c.since = longPast
		}
	}()
	// One write, one segment: some servers read a split length as an empty query.
	out := make([]byte, 2+len(query))
	binary.BigEndian.PutUint16(out, uint16(len(query)))
	copy(out[2:], query)
	if _, err := c.Write(out); err != nil {
		return false, err
	}
	for range maxMessages {
		msg, err := readMessage(c)
		if err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = errNotReply
			}
			return heard, err
		}
		heard = true
		if accept(msg) {
			return true, nil
		}
	}
	return true, errTooMany
}

func readMessage(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(head[:]))
	msg := make([]byte, 0, min(size, firstRead))
	for len(msg) < size {
		step := min(size-len(msg), firstRead)
		msg = append(msg, make([]byte, step)...)
		if _, err := io.ReadFull(r, msg[len(msg)-step:]); err != nil {
			return nil, err
		}
	}
	return msg, nil
}

// idlePool keeps connections that may be used again. A timer closes them.
type idlePool struct {
	mu    sync.Mutex
	conns map[server][]*conn // newest last
	total int
	sweep *time.Timer
}

func (p *idlePool) take(s server) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.conns[s]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	p.drop(s, len(list)-1)
	return c
}

// drop removes the connection at index i; the lock is held.
func (p *idlePool) drop(s server, i int) {
	list := p.conns[s]
	list = append(list[:i:i], list[i+1:]...)
	p.total--
	if len(list) == 0 {
		delete(p.conns, s)
		return
	}
	p.conns[s] = list
}

func (p *idlePool) keep(s server, c *conn) {
	if c.since.Equal(longPast) {
		c.Close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total >= maxIdle || len(p.conns[s]) >= maxIdlePerServer {
		c.Close()
		return
	}
	c.since = time.Now()
	p.conns[s] = append(p.conns[s], c)
	p.total++
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleTime, p.closeOld)
	}
}

// closeOld closes what was idle for idleTime and comes again while anything is left.
func (p *idlePool) closeOld() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep = nil
	for s, list := range p.conns {
		for i := len(list) - 1; i >= 0; i-- {
			if time.Since(list[i].since) >= idleTime {
				list[i].Close()
				p.drop(s, i)
			}
		}
	}
	if p.total > 0 {
		p.sweep = time.AfterFunc(idleTime, p.closeOld)
	}
}

func (p *idlePool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, list := range p.conns {
		for _, c := range list {
			c.Close()
		}
		delete(p.conns, s)
	}
	p.total = 0
}
