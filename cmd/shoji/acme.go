package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/shoji-dns/shoji/internal/acme"
	"github.com/shoji-dns/shoji/internal/credential"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/serve"
)

// openACME makes ready to have the certificate issued, where the configuration names an authority, and
// has out take it from there.
func (n *node) openACME(out *credential.Config) (*acme.Manager, error) {
	c := n.conf.Encrypted
	if c.ACME.Directory == "" {
		return nil, nil
	}
	roots, err := certificates(c.ACME.CA)
	if err != nil {
		return nil, fmt.Errorf("configuration: encrypted.acme.ca: %w", err)
	}
	m, err := acme.Open(acme.Config{
		Directory: c.ACME.Directory, Email: c.ACME.Email, Names: c.CertificateNames(), KeyID: c.ACME.KeyID, MACKey: c.ACME.MACKey,
		Folder: filepath.Join(n.conf.State, "tls", "acme"), Roots: roots, HTTP: addrs(c.ACME.HTTP), TLS: len(c.DoT)+len(c.DoH) > 0,
		Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) { return lookUp(ctx, n.unfiltered, host) },
		Log:     n.log,
	})
	if err != nil {
		return nil, fmt.Errorf("encrypted: %w", err)
	}
	out.Cert, out.Key, out.Later, out.Challenge = m.File(), m.File(), true, m.ForClient
	return m, nil
}

// lookUp asks a view of our own for the addresses of a host, so that a certificate can be had where
// this resolver is the only one.
func lookUp(ctx context.Context, s *serve.Server, host string) (out []netip.Addr, err error) {
	name, err := dns.ParseName(host)
	if err != nil {
		return nil, err
	}
	for _, t := range []dns.Type{dns.TypeA, dns.TypeAAAA} {
		packet, err := (&dns.Message{Flags: dns.FlagRD, Question: []dns.Question{{Name: name, Type: t, Class: dns.ClassIN}}, EDNS: &dns.EDNS{UDPSize: 1232}}).Append(nil)
		if err != nil {
			return nil, err
		}
		var q dns.Query
		if err := q.Parse(packet); err != nil {
			return nil, err
		}
		q.MaxReply = 65535
		reply, ok := s.Hit(&q, nil)
		if !ok {
			reply = s.Miss(ctx, &q, nil)
		}
		var m dns.Message
		if err := m.Unpack(reply); err != nil {
			return nil, err
		}
		if m.RCode != dns.RCodeSuccess && m.RCode != dns.RCodeNameError {
			var why []string
			for _, e := range extendedErrors(&m) {
				why = append(why, strings.TrimSpace(e.Meaning+" "+e.Text))
			}
			return nil, fmt.Errorf("%s %s: %s %s", name, t, m.RCode, strings.Join(why, ", "))
		}
		for _, r := range m.Answer {
			if r.Type != t {
				continue
			}
			for a := range r.Addrs() {
				out = append(out, a)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the name has no address")
	}
	return out, nil
}
