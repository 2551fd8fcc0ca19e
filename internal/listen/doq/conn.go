package doq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
)

// accept takes connections that have shaken hands until the listener is closed.
func (s *Server) accept(ctx context.Context, d *door) error {
	for {
		c, err := d.listener.Accept(ctx)
		if err != nil {
			if errors.Is(err, quic.ErrServerClosed) || ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.shaken.Add(1)
		context.AfterFunc(c.Context(), func() { s.shaken.Add(-1) })
		if d.web {
			s.webs.Go(func() { s.web(c) })
			continue
		}
		s.conns.Go(func() { s.dedicated(ctx, c) })
	}
}

// web answers the requests of one connection of HTTP/3.
func (s *Server) web(c *quic.Conn) {
	const code = quic.ApplicationErrorCode(http3.ErrCodeNoError)
	stop := context.AfterFunc(s.lasts, func() { c.CloseWithError(code, "") })
	defer stop()
	idle := s.watch(c, code)
	h := http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.request(idle, w, r) }), MaxHeaderBytes: maxHeaders}
	h.ServeQUICConn(c)
}

// dedicated answers the streams of one connection.
func (s *Server) dedicated(ctx context.Context, c *quic.Conn) {
	stop := context.AfterFunc(ctx, func() { c.CloseWithError(noError, "") })
	defer stop()
	g := listen.Guest{
		From: source(c.RemoteAddr()), View: s.cfg.Secure.Named(c.ConnectionState().TLS.ServerName), Dedicated: true,
	}
	idle := s.watch(c, noError)
	for {
		stream, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			if err := s.stream(g, idle, stream); err != nil {
				c.CloseWithError(protocolError, err.Error())
			}
		}()
	}
}

// What ends a connection.
var (
	errLength = errors.New("a length that is not the query's")
	errID     = errors.New("a message ID that is not 0")
)

// stream answers one query. An error is one of the connection.
func (s *Server) stream(g listen.Guest, idle *idle, stream *quic.Stream) error {
	stream.SetReadDeadline(time.Now().Add(messageTime))
	query, err := readQuery(stream)
	switch {
	case errors.Is(err, errLength) || errors.Is(err, errID):
		return err
	case err != nil: // cancelled, or too slow
		stream.CancelRead(quic.StreamErrorCode(protocolError))
		stream.CancelWrite(internalError)
		return nil
	}
	answered := idle.query()
	reply, _, err := s.cfg.Listen.Answer(stream.Context(), g, query, make([]byte, 2, 512))
	answered()
	switch {
	case errors.Is(err, listen.ErrKeepalive) || errors.Is(err, listen.ErrNoQuery):
		return err
	case err != nil: // nobody waits for the reply
		stream.CancelWrite(internalError)
		return nil
	}
	binary.BigEndian.PutUint16(reply, uint16(len(reply)-2))
	stream.SetWriteDeadline(time.Now().Add(messageTime))
	if _, err := stream.Write(reply); err != nil {
		stream.CancelWrite(internalError)
		return nil
	}
	stream.Close()
	return nil
}

// readQuery reads a stream that holds one query with its length before it (RFC 9250 §4.2).
func readQuery(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, short(err)
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	query, err := io.ReadAll(io.LimitReader(r, int64(n)+1))
	switch {
	case err != nil:
		return nil, err
	case len(query) != n || n < 2:
		return nil, errLength
	case query[0]|query[1] != 0:
		return nil, errID
	}
	return query, nil
}

// short makes a stream that ends in its length a fault.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errLength
	}
	return err
}

// request answers a request over HTTP/3.
func (s *Server) request(idle *idle, w http.ResponseWriter, r *http.Request) {
	switch sec := &s.cfg.Secure; {
	case sec.Relay != nil && r.URL.Path == sec.RelayPath:
		s.relay(idle, w, r)
		return
	case sec.Oblivious != nil && r.URL.Path == odoh.ConfigsPath:
		s.configs(w, r)
		return
	}
	view := -1
	for i, v := range s.cfg.Secure.Views {
		if v.Path != "" && v.Path == r.URL.Path {
			view = i
		}
	}
	if view < 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	g := listen.Guest{From: remote(r), View: view}
	if s.cfg.Secure.Oblivious != nil && r.Method == http.MethodPost && r.Header.Get("Content-Type") == doh.TypeOblivious {
		s.oblivious(idle, w, r, g)
		return
	}
	query, status := message(w, r)
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	answered := idle.query()
	reply, ttl, err := s.cfg.Listen.Answer(r.Context(), g, query, nil)
	answered()
	switch {
	case errors.Is(err, listen.ErrNoQuery):
		w.WriteHeader(http.StatusBadRequest)
		return
	case err != nil: // nobody waits for the reply
		return
	}
	respond(w, doh.TypeMessage, lifetime(ttl), reply)
}

// respond writes a response with content.
func respond(w http.ResponseWriter, contentType, keep string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", keep)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.Write(content)
}

// lifetime is what Cache-Control says of a reply that may be kept for ttl seconds (RFC 8484
// §5.1): as many or fewer, in ten digits that are all of five bits in HTTP's Huffman code (RFC
// 7541 Appendix B: 0, 1 and 2), which QPACK writes headers in. So the length of a response does not tell
// its TTL, and with it whether the answer is the sinkhole.
func lifetime(ttl uint32) string {
	digits := fmt.Appendf(nil, "%010d", ttl)
	for i, d := range digits {
		if d > '2' {
			copy(digits[i:], "2222222222")
			break
		}
	}
	return "max-age=" + string(digits)
}

// message reads the DNS message of a request, or says by which status it has none.
func message(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	switch r.Method {
	case http.MethodGet:
		query, err := doh.Parameter(nil, r.URL.RawQuery)
		if err != nil {
			return nil, http.StatusBadRequest
		}
		return query, 0
	case http.MethodPost:
		if r.Header.Get("Content-Type") != doh.TypeMessage {
			return nil, http.StatusUnsupportedMediaType
		}
		return body(w, r)
	}
	return nil, http.StatusMethodNotAllowed
}

// body reads the content of a request, or says by which status it has none.
func body(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(messageTime))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, doh.MaxMessage))
	if err != nil || len(b) == 0 {
		return nil, http.StatusBadRequest
	}
	return b, 0
}

// remote is the address of a request's client.
func remote(r *http.Request) (from netip.Addr) {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from = at.Addr().Unmap().WithZone("")
	}
	return from
}
