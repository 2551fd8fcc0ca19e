package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/resolve"
)

// anchors are the configured trust anchors, by default those of the root.
func anchors(conf config.Config) ([]dnssec.Anchor, error) {
	text := dnssec.RootAnchors
	if configured := conf.Resolve.TrustAnchors; configured != nil {
		if len(*configured) == 0 {
			return nil, nil
		}
		text = strings.Join(*configured, "\n")
	}
	out, err := dnssec.ParseAnchors(text)
	if err != nil {
		return nil, fmt.Errorf("configuration: resolve.trust_anchors: %w", err)
	}
	return out, nil
}

// keeping says how the node's trust anchors are looked after. Configured ones, and the
// lab's, stay as they are unless their roll-over is asked for.
func (n *node) keeping() resolve.KeeperConfig {
	c := resolve.KeeperConfig{Signal: *n.conf.Resolve.Signalling, Log: n.log}
	builtIn := n.conf.Resolve.TrustAnchors == nil && !n.around.lab
	if on := n.conf.Resolve.Rollover; on == nil && !builtIn || on != nil && !*on {
		return c
	}
	seen := make(map[dns.Name]bool)
	for _, a := range n.around.anchors {
		if !seen[a.Zone] {
			seen[a.Zone] = true
			c.Rollover = append(c.Rollover, a.Zone)
		}
	}
	if more := len(c.Rollover) - dnssec.MaxManagedZones; more > 0 {
		n.log.Warn("trust anchors of some zones stay as configured: there are too many for resolve.trust_anchor_rollover", "limit", dnssec.MaxManagedZones, "left out", more)
	}
	path := filepath.Join(n.conf.State, "anchors", "rollover")
	c.Load = func() ([]byte, error) { return loadAnchors(path) }
	c.Store = func(text []byte) error {
		if err := durable.MakeFolder(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return durable.WriteFile(path, text, 0o644)
	}
	return c
}

// loadAnchors reads the state of trust anchors; there is none before it was first stored.
func loadAnchors(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, dnssec.MaxRolloversText+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// sentinel is who answers root key sentinels; nil where they are names like others.
func (n *node) sentinel() func([]byte, dns.Type, answer.Status) bool {
	if !*n.conf.Resolve.Sentinel {
		return nil
	}
	return n.resolver.Refuses
}
