package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	// mediaType is that of DNS messages (RFC 8484 §6).
	mediaType = "application/dns-message"

	// maxHeaders bounds the octets of a response's headers: resolvers send some hundred.
	maxHeaders = 16 << 10
)

// Web is an HTTP client for one server: whatever is asked goes to its address, over one connection, and
// its certificate is of its name. It follows no redirection, keeps no cookies and says nothing of itself. It is
// safe for concurrent use.
type Web struct {
	base string // the URL up to the path
	via  http.RoundTripper
	end  func()
}

// NewWeb makes the client of a resolver's server. Nothing is sent yet. The transport is HTTPS or HTTP3; of cfg, the
// resolvers do not matter.
func NewWeb(r Resolver, cfg Config) (*Web, error) {
	s, err := newSecurity(r, cfg, protocols[r.Transport])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	s.ask = askOnce
	return newWeb(s), nil
}

func newWeb(s *security) *Web {
	c := &Web{base: "https://" + Authority(s.r)}
	if s.r.Transport == HTTP3 {
		t := &http3.Transport{
			MaxResponseHeaderBytes: maxHeaders, QUICConfig: &quic.Config{MaxIdleTimeout: idleTime, HandshakeIdleTimeout: dialTime},
			Dial: func(ctx context.Context, _ string, _ *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
				return dialQUIC(ctx, s, cfg)
			},
			DisableCompression: true,
		}
		c.via, c.end = t, func() { t.Close() }
		return c
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTime)
			defer cancel()
			return dialTLS(ctx, s)
		},
		Protocols:       &protocols,
		MaxConnsPerHost: 1, // else each question that comes before the first connection is there begins one
		IdleConnTimeout: idleTime, MaxResponseHeaderBytes: maxHeaders, DisableCompression: true,
	}
	c.via, c.end = t, t.CloseIdleConnections
	return c
}

// Authority is a resolver's authority in URLs: its name as the certificate has it, and the port unless it is the
// transport's own.
func Authority(r Resolver) string {
	if r.Addr.Port() == defaultPort[r.Transport] {
		if strings.Contains(r.Name, ":") {
			return "[" + r.Name + "]"
		}
		return r.Name
	}
	return net.JoinHostPort(r.Name, fmt.Sprint(r.Addr.Port()))
}

// Response is a server's response.
type Response struct {
	Status  int
	Type    string // the media type
	Content []byte
	Proxy   string // what a proxy says of itself (Proxy-Status, RFC 9209)
}

var errLong = errors.New("upstream: a response longer than it may be")

// Post sends content of a media type to a path, which may have a query, and takes a response of at most limit octets.
func (c *Web) Post(ctx context.Context, path, mediaType string, content []byte, limit int) (Response, error) {
	return c.do(ctx, http.MethodPost, path, http.Header{"Accept": {mediaType}, "Content-Type": {mediaType}}, bytes.NewReader(content), limit)
}

// Get fetches a path, and takes a response of at most limit octets.
func (c *Web) Get(ctx context.Context, path string, limit int) (Response, error) {
	return c.do(ctx, http.MethodGet, path, http.Header{}, nil, limit)
}

func (c *Web) do(ctx context.Context, method, path string, head http.Header, body io.Reader, limit int) (Response, error) {
	// The transports start goroutines that look at the context after the request: it must be
	// one of their own.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return Response{}, err
	}
	head["User-Agent"] = []string{""}
	req.Header = head
	res, err := c.via.RoundTrip(req)
	if err != nil {
		return Response{}, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
	if err == nil && len(content) > limit {
		err = errLong
	}
	return Response{Status: res.StatusCode, Type: res.Header.Get("Content-Type"), Content: content, Proxy: res.Header.Get("Proxy-Status")}, err
}

// Close ends the connection.
func (c *Web) Close() { c.end() }

// overHTTP is the client of a resolver that is asked over HTTP/2 or HTTP/3.
type overHTTP struct {
	*Web
	path string
}

// ask sends a POST. A redirection is not followed: it would say to somebody else what was asked.
func (c *overHTTP) ask(ctx context.Context, query []byte, accept func([]byte) bool) error {
	res, err := c.Post(ctx, c.path, mediaType, withoutID(query, 0), maxMessage)
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK || res.Type != mediaType {
		return fmt.Errorf("upstream: %s%s answers with status %d and media type %q", c.base, c.path, res.Status, res.Type)
	}
	return once(query, res.Content, accept)
}

func (c *overHTTP) close() { c.Close() }
