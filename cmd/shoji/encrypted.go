package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoji-dns/shoji/internal/acme"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/credential"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/listen/doq"
	"github.com/shoji-dns/shoji/internal/listen/oblivious"
)

// encrypted are the addresses where queries come over TLS, for both views.
type encrypted struct {
	conf   config.Encrypted
	listen *listen.Server
	quic   *doq.Server // nil: nothing comes over QUIC
	store  *credential.Store
	issuer *acme.Manager     // nil: the certificate is not had by ACME
	target *oblivious.Target // nil: this is no target of oblivious queries
	proxy  *oblivious.Proxy  // nil: and no proxy
}

// openEncrypted opens the encrypted addresses, if there are any.
func (n *node) openEncrypted(filtered, unfiltered listen.Handler) error {
	c := n.conf.Encrypted
	if len(c.Sockets()) == 0 {
		return nil
	}
	proof := credentials(n.conf)
	proof.Log, proof.ECH = n.log, n.ech
	issuer, err := n.openACME(&proof)
	if err != nil {
		return err
	}
	store, err := credential.Open(proof)
	if err != nil {
		return fmt.Errorf("encrypted: %w", err)
	}
	l := sockets(n.conf, nil, nil)
	l.MaxConns = c.Connections
	for _, v := range n.views {
		l.Beside = append(l.Beside, v.listen)
	}
	l.Secure = faces(c, filtered, unfiltered)
	l.Secure.TLS = store.Server
	if issuer != nil {
		l.Secure.Challenged = issuer.Challenged
	}
	e := &encrypted{conf: c, store: store}
	if err := e.openOblivious(n, &l.Secure); err != nil {
		return err
	}
	s, err := listen.Listen(l)
	if err != nil {
		return err
	}
	e.listen, e.issuer, n.encrypted = s, issuer, e
	if len(c.DoQ)+len(c.DoH) == 0 {
		return nil
	}
	// HTTP/3 has the ports that HTTP/2 has.
	n.encrypted.quic, err = doq.Listen(doq.Config{Listen: s, Secure: l.Secure, DoQ: addrs(c.DoQ), DoH: s.DoHAddrs()})
	return err
}

// faces are both views, as they are asked for over TLS.
func faces(c config.Encrypted, filtered, unfiltered listen.Handler) listen.Secure {
	return listen.Secure{DoT: addrs(c.DoT), DoH: addrs(c.DoH), Views: []listen.View{
		{Name: c.Filtered.Name, Path: c.Filtered.Path, Handler: filtered},
		{Name: c.Unfiltered.Name, Path: c.Unfiltered.Path, Handler: unfiltered},
	}}
}

// encryptable is what openEncrypted refuses of a configuration. What an authority issues comes later.
func encryptable(conf config.Config) error {
	c := conf.Encrypted
	if len(c.Sockets()) == 0 {
		return nil
	}
	proof, paths := credentials(conf), faces(c, nil, nil)
	proof.Later = c.ACME.Directory != ""
	if len(c.Oblivious.Proxy) > 0 {
		paths.Relay, paths.RelayPath = new(oblivious.Proxy), c.Oblivious.Path
	}
	if err := credential.Check(proof); err != nil {
		return fmt.Errorf("encrypted: %w", err)
	}
	return paths.CheckPaths()
}

// credentials are what the server proves itself by, as the configuration says.
func credentials(conf config.Config) credential.Config {
	c := conf.Encrypted
	out := credential.Config{Cert: c.Certificate, Key: c.Key, Dir: filepath.Join(conf.State, "tls")}
	out.Names = c.CertificateNames()
	for _, a := range c.Sockets() {
		if !a.Addr().IsUnspecified() {
			out.Addrs = append(out.Addrs, a.Addr())
		}
	}
	return out
}

func addrs(sockets []config.Socket) []netip.AddrPort {
	out := make([]netip.AddrPort, len(sockets))
	for i, s := range sockets {
		out[i] = s.AddrPort
	}
	return out
}

func (e *encrypted) run(ctx context.Context) error {
	if e == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { e.store.Run(ctx); return nil })
	g.Go(func() error { return e.listen.Serve(ctx) })
	if e.issuer != nil {
		g.Go(func() error { e.issuer.Run(ctx, e.store.Look); return nil })
	}
	if e.quic != nil {
		g.Go(func() error { return e.quic.Serve(ctx) })
	}
	if e.target != nil {
		g.Go(func() error { e.target.Run(ctx); return nil })
	}
	return g.Wait()
}

func (e *encrypted) close() {
	if e == nil {
		return
	}
	e.listen.Close()
	if e.issuer != nil {
		e.issuer.Close()
	}
	if e.quic != nil {
		e.quic.Close()
	}
	if e.proxy != nil {
		e.proxy.Close()
	}
}

// lines say where the addresses are, and by which names the views are asked for.
func (e *encrypted) lines() string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	line := func(title string, at []netip.AddrPort, what string, names ...string) {
		if len(at) == 0 {
			return
		}
		fmt.Fprintf(&b, "  %-11s", title)
		for _, a := range at {
			fmt.Fprintf(&b, " %s", a)
		}
		fmt.Fprintf(&b, "  (%s", what)
		if names[1] != "" {
			fmt.Fprintf(&b, ": filtered %s, unfiltered %s", cmp.Or(names[0], "by default"), names[1])
		}
		b.WriteString(")\n")
	}
	line("TLS", e.listen.DoTAddrs(), "both views by server name", e.conf.Filtered.Name, e.conf.Unfiltered.Name)
	if e.quic != nil {
		line("QUIC", e.quic.DoQAddrs(), "both views by server name", e.conf.Filtered.Name, e.conf.Unfiltered.Name)
	}
	line("HTTPS", e.listen.DoHAddrs(), "HTTP/2 and 3, both views by path", e.conf.Filtered.Path, e.conf.Unfiltered.Path)
	if name := e.conf.Public(); name != "" {
		fmt.Fprintf(&b, "  ECH         hides which name a client asks for; %s is seen\n", name)
	}
	if e.issuer != nil {
		what := "none yet; it is asked for"
		if until := e.store.Until(); !until.IsZero() {
			what = "until " + until.Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "  certificate %s, from %s\n", what, e.conf.ACME.Directory)
	}
	b.WriteString(e.obliviousLines())
	if e.store.SelfSigned() {
		fmt.Fprintf(&b, "  certificate self-signed, pin sha256/%s\n", e.store.Pin())
	}
	return b.String()
}
