package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/discovery"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/ech"
)

// AutoECH as a Resolver's ECH has it asked for its configuration.
const AutoECH = "auto"

// echLife is how long it is taken that a resolver tells no configuration of Encrypted Client
// Hello: as long as records that would say so are kept (discovery.TTL). One that it tells
// is used until it is refused.
const echLife = discovery.TTL * time.Second

// security makes the TLS configurations for one resolver's connections.
type security struct {
	r    Resolver
	cfg  Config
	base *tls.Config
	ask  func(ctx context.Context, without *security, query []byte, accept func([]byte) bool) error

	mu    sync.Mutex // also held while the resolver is asked, so that it is asked once
	list  []byte     // the configurations of Encrypted Client Hello; nil: without
	told  time.Time  // when the resolver told that there is none
	known bool
}

// newSecurity is what the resolver's URL and cfg say, for one protocol above TLS.
func newSecurity(r Resolver, cfg Config, protocol string) (*security, error) {
	s := &security{r: r, cfg: cfg, base: &tls.Config{
		ServerName: r.Name, RootCAs: cfg.Roots, MinVersion: tls.VersionTLS13, NextProtos: []string{protocol},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}}
	if cfg.Adjust != nil {
		cfg.Adjust(s.base)
	}
	switch r.ECH {
	case "":
		s.known, s.told = true, time.Time{}
	case AutoECH:
	default:
		list, err := ech.ParseText(r.ECH)
		if err != nil {
			return nil, err
		}
		s.list, s.known = list, true
	}
	return s, nil
}

// nameless is for a connection that says no name: what can be asked for on it, nobody on the way
// learns by its name. The certificate is verified all the same. Connected is not told of it.
func (s *security) nameless() *security {
	c := s.base.Clone()
	skip, verify := c.InsecureSkipVerify, c.VerifyConnection
	c.ServerName, c.InsecureSkipVerify, c.ClientSessionCache = "", true, nil
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if !skip {
			if err := verifyChain(state, c.RootCAs, s.r.Name); err != nil {
				return err
			}
		}
		if verify != nil {
			return verify(state)
		}
		return nil
	}
	r, cfg := s.r, s.cfg
	r.ECH, cfg.Connected = "", nil
	return &security{r: r, cfg: cfg, base: c, known: true}
}

// verifyChain is what the standard library does where it verifies.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool, name string) error {
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name})
	return err
}

// dial makes a connection by try, and another one where the server's keys of Encrypted Client
// Hello have changed and it tells the new ones, as who has a certificate for the public name (RFC 9849
// §6.1.6).
func dial[C any](ctx context.Context, s *security, try func(*tls.Config) (C, error)) (C, error) {
	for again := false; ; again = true {
		c, err := s.config(ctx)
		if err != nil {
			var none C
			return none, err
		}
		conn, err := try(c)
		var refused *tls.ECHRejectionError
		if err == nil || again || !errors.As(err, &refused) {
			return conn, err
		}
		if err := s.refused(refused.RetryConfigList); err != nil {
			return conn, err
		}
	}
}

// config is for one connection. Where nothing is known yet of Encrypted Client Hello and it is wanted,
// the resolver is asked.
func (s *security) config(ctx context.Context) (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r.ECH == AutoECH && (!s.known || s.list == nil && time.Since(s.told) >= echLife) {
		list, err := s.fetch(ctx)
		if err != nil {
			return nil, fmt.Errorf("upstream: %s does not say whether it has Encrypted Client Hello: %w", s.r, err)
		}
		s.list, s.known, s.told = list, true, time.Now()
	}
	c := s.base.Clone()
	c.EncryptedClientHelloConfigList = s.list
	return c, nil
}

// refused takes the configurations that a server told when it refused one. Where it told none, it
// has switched Encrypted Client Hello off: that is what auto goes by, and an error for who has
// written a configuration down.
func (s *security) refused(list []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(list) > 0 {
		if _, err := ech.Usable(list); err != nil {
			return fmt.Errorf("upstream: %s refuses Encrypted Client Hello with this key, and tells another one: %w", s.r.Addr, err)
		}
		s.list = list
		return nil
	}
	if s.r.ECH != AutoECH {
		return fmt.Errorf("upstream: %s has switched Encrypted Client Hello off; remove ech where the resolver is written if its name may be seen", s.r.Addr)
	}
	s.list, s.told = nil, time.Now()
	return nil
}

// fetch asks the resolver itself for the SVCB records of its name, on a connection that says no name; nil
// where it tells of no Encrypted Client Hello. Whoever is on the way can hinder that, and then there is an
// error, but cannot have the name said in the clear.
func (s *security) fetch(ctx context.Context) (list []byte, err error) {
	owner := dns.MustName(discovery.Name)
	if _, err := netip.ParseAddr(s.r.Name); err != nil {
		if owner, err = dns.ParseName("_dns." + s.r.Name); err != nil {
			return nil, err
		}
	}
	query, err := (&dns.Message{
		Flags: dns.FlagRD, Question: []dns.Question{{Name: owner, Type: dns.TypeSVCB, Class: dns.ClassIN}}, EDNS: &dns.EDNS{UDPSize: 1232},
	}).Append(nil)
	if err != nil {
		return nil, err
	}
	query = dns.PadMessage(query, 0, queryBlock, maxMessage)
	err = s.ask(ctx, s.nameless(), query, func(reply []byte) bool {
		var m dns.Message
		if m.Unpack(reply) != nil || m.RCode != dns.RCodeSuccess && m.RCode != dns.RCodeNameError || len(m.Question) != 1 || !m.Question[0].Name.Equal(owner) {
			return false
		}
		list = told(m.Answer)
		return true
	})
	return list, err
}

// told is the first list among records that can be used.
func told(records []dns.RR) []byte {
	for _, r := range records {
		if list, ok := discovery.ECH(r); ok && len(list) > 0 {
			if _, err := ech.Usable(list); err == nil {
				return list
			}
		}
	}
	return nil
}

// queryBlock is what the lengths of queries are multiples of (RFC 8467 §4.1).
const queryBlock = 128
