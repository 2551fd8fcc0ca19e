package upstream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// stream is the client of a resolver that is asked over TLS.
type stream struct{ kept[*pipeline] }

func newStream(security *security) *stream {
	s := new(stream)
	s.alive = func(p *pipeline) bool { return !p.dead() }
	s.dial = func(ctx context.Context) (*pipeline, error) {
		c, err := dialTLS(ctx, security)
		if err != nil {
			return nil, err
		}
		return newPipeline(c), nil
	}
	return s
}

// dialTLS connects over TCP.
func dialTLS(ctx context.Context, s *security) (net.Conn, error) {
	return dial(ctx, s, func(c *tls.Config) (net.Conn, error) {
		below, err := s.cfg.connect(ctx, s.r)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(below, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			below.Close()
			return nil, unshaken(ctx, err)
		}
		return conn, nil
	})
}

// HandshakeError is why a server was reached and TLS with it failed: it, or this side, does not take what the other says.
type HandshakeError struct{ error }

func (e *HandshakeError) Unwrap() error { return e.error }

// unshaken is why a handshake over TCP failed: a HandshakeError unless the connection broke, or time was up.
func unshaken(ctx context.Context, err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if ctx.Err() != nil || errors.Is(err, io.EOF) || ok && op.Op != "remote error" && op.Op != "local error" { // else an alert
		return err
	}
	return &HandshakeError{err}
}

func (s *stream) ask(ctx context.Context, query []byte, accept func([]byte) bool) error {
	return s.twice(ctx, func(p *pipeline) error { return p.ask(ctx, query, accept) })
}

func (s *stream) close() {
	if p, ok := s.take(); ok {
		p.Close()
	}
}

// pipeline is a connection on which questions overtake one another (RFC 7766 §6.2.1.1).
type pipeline struct {
	net.Conn
	write sync.Mutex

	mu      sync.Mutex
	waiting map[uint16]chan []byte // by the ID on this connection
	next    uint16
	err     error // why it is dead; nil: it lives
}

func newPipeline(c net.Conn) *pipeline {
	p := &pipeline{Conn: c, waiting: make(map[uint16]chan []byte)}
	go p.read()
	return p
}

func (p *pipeline) dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

// enter finds a free ID. Where it is the only question, the connection is no longer idle.
func (p *pipeline) enter() (id uint16, reply chan []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return 0, nil, p.err
	case len(p.waiting) == maxUnderWay:
		return 0, nil, errFull
	}
	for {
		id = p.next
		p.next++
		if _, taken := p.waiting[id]; !taken {
			break
		}
	}
	reply = make(chan []byte, 1)
	p.waiting[id] = reply
	if len(p.waiting) == 1 {
		p.SetReadDeadline(time.Time{})
	}
	return id, reply, nil
}

func (p *pipeline) leave(id uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	delete(p.waiting, id)
	if len(p.waiting) == 0 {
		p.SetReadDeadline(time.Now().Add(idleTime))
	}
}

func (p *pipeline) ask(ctx context.Context, query []byte, accept func([]byte) bool) error {
	id, reply, err := p.enter()
	if err != nil {
		return err
	}
	defer p.leave(id)
	out := make([]byte, 2+len(query))
	binary.BigEndian.PutUint16(out, uint16(len(query)))
	copy(out[2:], query)
	binary.BigEndian.PutUint16(out[2:], id)
	if err := p.send(ctx, out); err != nil {
		return err
	}
	select {
	case msg, ok := <-reply:
		if !ok {
			return errNotReply
		}
		return once(query, msg, accept)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send writes one message. A write that does not end in time leaves the connection useless
// for all.
func (p *pipeline) send(ctx context.Context, out []byte) error {
	p.write.Lock()
	defer p.write.Unlock()
	if end, ok := ctx.Deadline(); ok {
		p.SetWriteDeadline(end)
	} else {
		p.SetWriteDeadline(time.Now().Add(dialTime))
	}
	_, err := p.Write(out)
	if err != nil {
		p.fail(err)
	}
	return err
}

// read hands out replies until the connection ends.
func (p *pipeline) read() {
	var head [2]byte
	for {
		_, err := io.ReadFull(p, head[:])
		msg := make([]byte, binary.BigEndian.Uint16(head[:]))
		if err == nil {
			_, err = io.ReadFull(p, msg)
		}
		if err != nil {
			p.fail(err)
			return
		}
		if len(msg) >= headerLen {
			p.hand(binary.BigEndian.Uint16(msg), msg)
		}
	}
}

// hand gives a reply to who waits for it; what nobody waits for is dropped.
func (p *pipeline) hand(id uint16, msg []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reply, ok := p.waiting[id]; ok {
		select {
		case reply <- msg:
		default: // a second reply to one question
		}
	}
}

// fail ends the connection and all that waits on it.
func (p *pipeline) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = err
	for _, reply := range p.waiting {
		close(reply)
	}
	clear(p.waiting)
	p.Conn.Close()
}

// Close ends the connection; what waits on it fails.
func (p *pipeline) Close() error {
	p.fail(net.ErrClosed)
	return nil
}
