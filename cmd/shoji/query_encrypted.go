package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// queryBlock is what the length of encrypted queries is a multiple of (RFC 8467 §4.1).
const queryBlock = 128

// secured is what was encrypted, and for whom.
type secured struct {
	Version      string      `json:"version"`
	Cipher       string      `json:"cipher"`
	Protocol     string      `json:"alpn,omitempty"`
	Name         string      `json:"server_name"`
	ECH          bool        `json:"ech"` // the server name was encrypted
	QueryLen     int         `json:"query_octets"`
	QueryPadding int         `json:"query_padding_octets"`
	ReplyLen     int         `json:"reply_octets"`
	PaddingLen   int         `json:"reply_padding_octets"`
	Trusted      string      `json:"trusted_by"` // system, file or pin
	Certificate  []certified `json:"certificates"`
	Anchor       *certified  `json:"anchor,omitempty"` // who is trusted, where the server did not send it

	ready time.Time // when the handshake had ended, but for its last message
}

// Whom a certificate is trusted by.
const (
	bySystem = "system"
	byFile   = "file"
	byPin    = "pin"
)

// certified is one certificate of a chain.
type certified struct {
	Subject string    `json:"subject"`
	Names   []string  `json:"names,omitempty"`
	Issuer  string    `json:"issuer"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Key     string    `json:"key"`
	Pin     string    `json:"pin"`
}

// transportName is what a transport is called, by the scheme of a server's URL.
func transportName(scheme string) string {
	switch scheme {
	case upstream.TLS:
		return "TLS"
	case upstream.QUIC:
		return "QUIC"
	case upstream.HTTP3:
		return "HTTP/3"
	case upstream.ODoH:
		return "oblivious HTTPS"
	}
	return "HTTPS"
}

// connecting is what is seen of the last connection to a server: those before it failed, or asked how the
// name is hidden.
type connecting struct {
	mu        sync.Mutex
	connected time.Time // zero: there is no connection below the handshake
	secured   *secured
}

func (c *connecting) connect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected = time.Now()
}

// keep keeps what is known of the connection.
func (c *connecting) keep(s *secured) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secured = s
}

// phases parts the time from start to end.
func (c *connecting) phases(start, end time.Time) (p phases) {
	if !c.connected.IsZero() {
		p.connect = c.connected.Sub(start)
		start = c.connected
	}
	p.handshake, p.reply = c.secured.ready.Sub(start), end.Sub(c.secured.ready)
	return p
}

// resolver is the server with what --ech says.
func (c *queryCmd) resolver(at string) (upstream.Resolver, error) {
	if c.ECH == "" {
		return upstream.Parse(at)
	}
	if strings.Contains(at, "&ech=") {
		return upstream.Resolver{}, errors.New("--ech and &ech= in the server are two ways to say it: give one of them")
	}
	if !strings.Contains(at, "#") {
		at += "#"
	}
	return upstream.Parse(at + "&ech=" + c.ECH)
}

// askEncrypted sends the question over an encrypted transport, padded.
func (c *queryCmd) askEncrypted(ctx context.Context, at string, q *dns.Message) (*answered, error) {
	r, err := c.resolver(at)
	if err != nil {
		return nil, usageError{err}
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	if r.Transport == upstream.ODoH && c.Pin != "" {
		return nil, usageError{errors.New("--pin is of one server, and an oblivious query has two: give the certificates of both in one file by --trust")}
	}
	packet, err := q.Append(nil)
	if err != nil {
		return nil, err
	}
	bare := len(packet)
	packet = dns.PadMessage(packet, 0, queryBlock, 65535)
	seen := new(connecting)
	n, err := upstream.New(upstream.Config{
		Resolvers: []upstream.Resolver{r}, Roots: roots, Connected: seen.connect,
		Adjust: func(t *tls.Config) {
			t.InsecureSkipVerify = c.Pin != "" // the pin is looked at instead
			t.VerifyConnection = func(state tls.ConnectionState) error {
				if ofProxy := t.ServerName != r.Name || r.Proxy.Name == r.Name; r.Transport != upstream.ODoH || ofProxy {
					seen.keep(c.look(state))
				}
				return c.pinned(state)
			}
			if c.Pin != "" {
				t.EncryptedClientHelloRejectionVerify = c.pinned
			}
		},
	})
	if err != nil {
		return nil, err
	}
	defer n.Close()
	shown := r
	shown.ECH = ""
	a := &answered{server: shown.String(), transport: transportName(r.Transport)}
	var replyLen int
	start := time.Now()
	err = n.Exchange(ctx, r.Addr.Addr(), r.Addr.Port(), true, packet, func(reply []byte) bool {
		m := new(dns.Message)
		if m.Unpack(reply) != nil || m.Flags&dns.FlagQR == 0 || m.ID != q.ID {
			return false
		}
		a.reply, replyLen = m, len(reply)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %w%s", shown, err, untrusted(err))
	}
	a.phases = seen.phases(start, time.Now())
	a.secured = seen.secured
	a.secured.QueryLen, a.secured.ReplyLen = len(packet), replyLen
	if len(packet) > bare {
		a.secured.QueryPadding = len(packet) - bare - paddingHead
	}
	if padding, ok := a.reply.EDNS.Option(dns.OptionPadding); ok {
		a.secured.PaddingLen = len(padding)
	}
	return a, nil
}

// paddingHead is an option's code and length in octets, which are not counted as padding.
const paddingHead = 4

// pinned says what is wrong with a server's key where one is pinned.
func (c *queryCmd) pinned(state tls.ConnectionState) error {
	if c.Pin == "" {
		return nil
	}
	if pin := pinOf(state.PeerCertificates[0]); pin != strings.TrimPrefix(c.Pin, "sha256/") {
		return fmt.Errorf("the server's key has the pin sha256/%s, not the one that is trusted", pin)
	}
	return nil
}

// roots are the certificates that --trust names; nil: the system's.
func (c *queryCmd) roots() (*x509.CertPool, error) {
	if c.Trust == "" {
		return nil, nil
	}
	if c.Pin != "" {
		return nil, usageError{errors.New("--trust and --pin are two ways to know the server: give one of them")}
	}
	text, err := os.ReadFile(c.Trust)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", c.Trust)
	}
	return pool, nil
}

// look describes a connection after its handshake.
func (c *queryCmd) look(state tls.ConnectionState) *secured {
	s := &secured{
		Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite), Protocol: state.NegotiatedProtocol,
		Name: state.ServerName, ECH: state.ECHAccepted, Trusted: bySystem, ready: time.Now(),
	}
	switch {
	case c.Pin != "":
		s.Trusted = byPin
	case c.Trust != "":
		s.Trusted = byFile
	}
	for _, cert := range state.PeerCertificates {
		s.Certificate = append(s.Certificate, certificate(cert))
	}
	if len(state.VerifiedChains) > 0 {
		chain := state.VerifiedChains[0]
		if anchor := certificate(chain[len(chain)-1]); len(chain) > len(state.PeerCertificates) {
			s.Anchor = &anchor
		}
	}
	return s
}

// certificate describes one certificate.
func certificate(cert *x509.Certificate) certified {
	c := certified{
		Subject: cert.Subject.String(), Names: cert.DNSNames, Issuer: cert.Issuer.String(), From: cert.NotBefore, Until: cert.NotAfter,
		Key: keyText(cert), Pin: pinOf(cert),
	}
	for _, ip := range cert.IPAddresses {
		if text := ip.String(); !slices.Contains(c.Names, text) {
			c.Names = append(c.Names, text)
		}
	}
	return c
}

// pinOf is the SHA-256 of a certificate's key, as pins are written (RFC 7858 §4.2).
func pinOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// keyText is what kind of key a certificate is for.
func keyText(cert *x509.Certificate) string {
	switch k := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return cert.PublicKeyAlgorithm.String()
}

// untrusted says what can be done where nobody vouches for a server.
func untrusted(err error) string {
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return " (--pin gives the pin of a key that is trusted, --trust a file of certificates)"
	}
	return ""
}
