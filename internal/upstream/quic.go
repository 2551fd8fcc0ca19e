package upstream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/quic-go/quic-go"
)

// overQUIC is the client of a resolver that is asked over dedicated QUIC connections.
type overQUIC struct{ kept[*quic.Conn] }

func newQUIC(s *security) *overQUIC {
	c := new(overQUIC)
	c.alive = func(conn *quic.Conn) bool { return conn.Context().Err() == nil }
	c.dial = func(ctx context.Context) (*quic.Conn, error) {
		return dialQUIC(ctx, s, &quic.Config{MaxIdleTimeout: idleTime, HandshakeIdleTimeout: dialTime})
	}
	return c
}

// dialQUIC connects over UDP.
func dialQUIC(ctx context.Context, s *security, cfg *quic.Config) (*quic.Conn, error) {
	return dial(ctx, s, func(c *tls.Config) (*quic.Conn, error) {
		conn, err := quic.DialAddr(ctx, s.r.Addr.String(), c, cfg)
		if e, ok := errors.AsType[*quic.TransportError](err); ok && e.ErrorCode.IsCryptoError() {
			err = &HandshakeError{err}
		}
		return conn, err
	})
}

func (c *overQUIC) ask(ctx context.Context, query []byte, accept func([]byte) bool) error {
	return c.twice(ctx, func(conn *quic.Conn) error { return askStream(ctx, conn, query, accept) })
}

// askStream asks on a stream of its own, which ends with the question (RFC 9250 §4.2).
func askStream(ctx context.Context, conn *quic.Conn, query []byte, accept func([]byte) bool) error {
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer s.CancelRead(0x3) // DOQ_REQUEST_CANCELLED, where it has not ended by itself
	if _, err := s.Write(withoutID(query, 2)); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	var head [2]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return notReply(err)
	}
	reply := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(s, reply); err != nil {
		return notReply(err)
	}
	return once(query, reply, accept)
}

func notReply(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNotReply
	}
	return err
}

func (c *overQUIC) close() {
	if conn, ok := c.take(); ok {
		conn.CloseWithError(0, "") // DOQ_NO_ERROR
	}
}
