package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/exchange"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// forwarders are the resolvers that everything is forwarded to, as they are configured;
// none where it is not.
func forwarders(conf config.Config) []string {
	var out []string
	for _, z := range conf.Resolve.Zones {
		if z.Kind == "forward" && z.Name == "." {
			for _, a := range z.Servers {
				out = append(out, a.String())
			}
		}
	}
	for _, f := range conf.Forward {
		if f.URL != "" {
			out = append(out, f.URL)
		} else {
			out = append(out, f.String())
		}
	}
	return out
}

// encryptedUpstreams are the encrypted ones among the resolvers of the key forward.
func encryptedUpstreams(conf config.Config) ([]upstream.Resolver, error) {
	var out []upstream.Resolver
	for i, f := range conf.Forward {
		if f.URL == "" {
			continue
		}
		r, err := upstream.Parse(f.URL)
		if err != nil {
			return nil, fmt.Errorf("configuration: forward[%d]: %w", i, err)
		}
		out = append(out, r)
	}
	if len(out) > 0 && len(out) < len(conf.Forward) {
		return nil, errors.New("configuration: forward: some resolvers are encrypted and some are not, so that nobody could say whether a question was: leave out the one or the other")
	}
	return out, nil
}

// forwardAll is the root as a forward zone, by the key forward.
func forwardAll(conf config.Config) (resolve.Zone, error) {
	zone := resolve.Zone{Name: dns.Root, Forward: true, First: conf.Fallback}
	private, err := encryptedUpstreams(conf)
	for _, r := range private {
		zone.Servers = append(zone.Servers, resolve.Upstream{Addr: r.Addr.Addr(), Port: r.Addr.Port()})
		zone.Encrypted = true
	}
	for _, f := range conf.Forward {
		if f.URL == "" {
			zone.Servers = append(zone.Servers, resolve.Upstream{Addr: f.Addr(), Port: f.Port()})
		}
	}
	return zone, err
}

// network is the Internet, with encrypted ways to the resolvers that have them.
func network(conf config.Config) (resolve.Network, error) {
	private, err := encryptedUpstreams(conf)
	if err != nil || len(private) == 0 {
		return exchange.New(), err
	}
	roots, err := certificates(conf.ForwardCA)
	if err != nil {
		return nil, fmt.Errorf("configuration: forward_ca: %w", err)
	}
	n, err := upstream.New(upstream.Config{Plain: exchange.New(), Resolvers: private, Roots: roots})
	if err != nil {
		return nil, fmt.Errorf("configuration: forward: %w", err)
	}
	return n, nil
}

// certificates reads who may sign certificates; nil means whom the system trusts.
func certificates(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}
