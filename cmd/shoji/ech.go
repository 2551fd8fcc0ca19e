package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/credential"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/serve"
)

// echFolder is where the keys of Encrypted Client Hello are.
func echFolder(conf config.Config) string { return filepath.Join(conf.State, "tls", "ech") }

// openECH opens the keys of Encrypted Client Hello, and makes the first one; nil where the
// configuration has none.
func (n *node) openECH() error {
	c := n.conf.Encrypted
	name := c.Public()
	if name == "" {
		return nil
	}
	if a, b := len(c.Filtered.Name), len(c.Unfiltered.Name); a != b && a*b > 0 {
		n.log.Warn("the names of the two views differ in length: clients that pad what they encrypt to whole blocks alone (Go's among them) may show by it which view they ask for",
			"filtered", c.Filtered.Name, "unfiltered", c.Unfiltered.Name)
	}
	e, err := credential.OpenECH(credential.ECHConfig{
		Folder: echFolder(n.conf), PublicName: name, Longest: max(len(c.Filtered.Name), len(c.Unfiltered.Name)),
		Every: time.Duration(c.ECH.Rotate), Old: c.ECH.Old, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("encrypted.ech: %w", err)
	}
	n.ech = e
	return nil
}

// echList is what clients are told of Encrypted Client Hello now.
func (n *node) echList() []byte {
	if n.ech == nil {
		return nil
	}
	return n.ech.List()
}

// tell has both views tell of a new key.
func (n *node) tell(served []resolve.Zone, list []byte) error {
	for _, v := range []struct {
		server *serve.Server
		face   config.Face
	}{{n.filtered, n.conf.Encrypted.Filtered}, {n.unfiltered, n.conf.Encrypted.Unfiltered}} {
		own, err := ownAnswers(n.conf, served, n.around.lab, v.face, list)
		if err != nil {
			return err
		}
		v.server.SetLocal(own.Local)
	}
	return nil
}

// keepECH makes new keys until ctx ends, and has clients told of them.
func (n *node) keepECH(ctx context.Context) {
	if n.ech == nil {
		return
	}
	n.ech.Run(ctx, func(list []byte) {
		zones, err := zones(n.conf)
		if err == nil {
			err = n.tell(zones, list)
		}
		if err != nil { // the configuration was taken at the start
			n.log.Error("the new ECH key is not told to clients", "cause", err)
		}
	})
}
