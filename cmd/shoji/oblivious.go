package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/listen/oblivious"
	"github.com/shoji-dns/shoji/internal/upstream"
)

// openOblivious adds to the encrypted addresses what oblivious queries need, as a target and as a proxy.
func (e *encrypted) openOblivious(n *node, to *listen.Secure) (err error) {
	c := e.conf.Oblivious
	if c.Target {
		if e.target, err = oblivious.OpenTarget(filepath.Join(n.conf.State, "odoh"), n.log); err != nil {
			return fmt.Errorf("encrypted.oblivious.target: %w", err)
		}
		to.Oblivious = e.target.Keys
	}
	if len(c.Proxy) == 0 {
		return nil
	}
	if e.proxy, err = carrier(n.conf, n.log); err != nil {
		return err
	}
	to.Relay, to.RelayPath = e.proxy, c.Path
	return nil
}

// carrier is the proxy for the configured targets.
func carrier(conf config.Config, log *slog.Logger) (*oblivious.Proxy, error) {
	c := conf.Encrypted.Oblivious
	targets, err := obliviousTargets(conf)
	if err != nil {
		return nil, err
	}
	roots, err := certificates(c.CA)
	if err != nil {
		return nil, fmt.Errorf("configuration: encrypted.oblivious.proxy_ca: %w", err)
	}
	p, err := oblivious.NewProxy(oblivious.ProxyConfig{Targets: targets, Roots: roots, Log: log})
	if err != nil {
		return nil, fmt.Errorf("configuration: encrypted.oblivious.proxy_for: %w", err)
	}
	return p, nil
}

// obliviousTargets are the targets of the key proxy_for. This resolver itself is none: it would know both who asks
// and what.
func obliviousTargets(conf config.Config) (out []upstream.Resolver, err error) {
	for i, text := range conf.Encrypted.Oblivious.Proxy {
		r, err := upstream.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("configuration: encrypted.oblivious.proxy_for[%d]: %w", i, err)
		}
		if slices.ContainsFunc(conf.Encrypted.DoH, func(s config.Socket) bool { return s.AddrPort == r.Addr }) {
			return nil, fmt.Errorf("configuration: encrypted.oblivious.proxy_for[%d]: %s is this server itself, which would know both who asks and what: name a target of somebody else", i, r.Addr)
		}
		out = append(out, r)
	}
	return out, nil
}

// obliviousLines say what is had of it.
func (e *encrypted) obliviousLines() string {
	var b strings.Builder
	if e.target != nil {
		fmt.Fprintf(&b, "  oblivious   target, at the paths of HTTPS\n")
	}
	if e.proxy != nil {
		fmt.Fprintf(&b, "  oblivious   proxy at %s?targethost=NAME&targetpath=PATH, for %s\n", e.conf.Oblivious.Path, strings.Join(e.conf.Oblivious.Proxy, ", "))
	}
	return b.String()
}
