package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/rpz"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// transfers is the list as other resolvers get it.
type transfers struct {
	zone   *rpz.Zone
	server *rpz.Server
}

// openTransfers opens the policy zone's sockets, where any are configured.
func (n *node) openTransfers() error {
	t := n.conf.Transfer
	if len(t.Listen) == 0 {
		return nil
	}
	content, err := policyZone(n.conf)
	if err != nil {
		return err
	}
	keys, err := transferKeys(t)
	if err != nil {
		return err
	}
	c := rpz.ServerConfig{}
	for _, k := range keys {
		c.Keys = append(c.Keys, k)
	}
	for _, a := range t.Listen {
		c.Listen = append(c.Listen, a.AddrPort)
	}
	for _, g := range t.Allow {
		c.Allow = append(c.Allow, rpz.Grant{From: g.From, Key: keys[g.Key]})
	}
	var notify []rpz.Secondary
	for _, s := range t.Notify {
		notify = append(notify, rpz.Secondary{To: s.To.AddrPort, Key: keys[s.Key]})
	}
	if c.Zone, err = rpz.New(rpz.Config{Content: content, Walk: n.walk, Notify: notify, Log: n.log}); err != nil {
		return fmt.Errorf("configuration: transfer: %w", err)
	}
	server, err := rpz.Listen(c)
	if err != nil {
		return fmt.Errorf("configuration: transfer: %w", err)
	}
	n.transfers = &transfers{zone: c.Zone, server: server}
	return nil
}

// swap puts a list in force, in the filtered view and in the policy zone.
func (n *node) swap(list *filter.List, epoch ledger.Epoch) {
	n.live.Swap(list)
	n.gauges.listTime.Store(epoch.Time.Unix())
	n.desk.swap(list, epoch)
	if n.transfers != nil {
		n.transfers.zone.Publish(list)
	}
}

func (t *transfers) close() {
	if t != nil {
		t.server.Close()
	}
}

// run gives the list to others until ctx ends or a socket fails.
func (t *transfers) run(ctx context.Context) error {
	if t == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.zone.Run(ctx)
	}()
	err := t.server.Serve(ctx)
	if err == nil {
		<-done
	}
	return err
}

// line is what announce says of it.
func (t *transfers) line(conf config.Config) string {
	if t == nil {
		return ""
	}
	var at []string
	for _, a := range t.server.Addrs() {
		at = append(at, a.String())
	}
	return fmt.Sprintf("  transfer    %s  (policy zone %s, flavour %s)\n", strings.Join(at, " "), conf.Transfer.Zone, conf.Transfer.Flavour)
}

// walk reads the log that the list comes from.
func (n *node) walk(ctx context.Context, first, next uint64, each func(uint64, *ledger.Entry) error) error {
	if len(n.followed) > 0 { // one: with several there are no transfers
		return n.followed[0].walk(ctx, first, next, each)
	}
	return walk(n.conf.State)(ctx, first, next, each)
}

// walk reads the log of a state folder.
func walk(dir string) rpz.Walk {
	return func(ctx context.Context, first, next uint64, each func(uint64, *ledger.Entry) error) error {
		key, err := sequence.ReadVerifier(dir)
		if err != nil {
			return err
		}
		log, err := ledger.OpenFolder(sequence.Folder(dir))
		if err != nil {
			return err
		}
		defer log.Close()
		tip, err := ledger.ReadCheckpoint(ctx, log, key)
		if err != nil {
			return err
		}
		return ledger.Walk(ctx, log, tip, first, next, func(n uint64, e *ledger.Entry, _ []byte) error { return each(n, e) })
	}
}

// policyZone is what the policy zone is made of.
func policyZone(conf config.Config) (rpz.Content, error) {
	name, err := dns.ParseName(conf.Transfer.Zone)
	if err != nil {
		return rpz.Content{}, fmt.Errorf("configuration: transfer.zone: %q: %w", conf.Transfer.Zone, err)
	}
	return rpz.Content{
		Origin: name.Canonical(), Flavour: rpz.Flavour(conf.Transfer.Flavour),
		Sinkhole4: conf.Sinkhole.IPv4, Sinkhole6: conf.Sinkhole.IPv6, TTL: time.Duration(conf.Sinkhole.TTL),
	}, nil
}

// transferKeys are the configured keys by name.
func transferKeys(t config.Transfer) (map[string]*rpz.Key, error) {
	out := map[string]*rpz.Key{}
	for i, k := range t.Keys {
		secret := k.Secret
		if k.File != "" {
			b, err := os.ReadFile(k.File)
			if err != nil {
				return nil, fmt.Errorf("configuration: transfer.keys[%d].secret_file: %w", i, err)
			}
			secret = string(b)
		}
		key, err := rpz.NewKey(k.Name, k.Algorithm, secret)
		if err != nil {
			return nil, fmt.Errorf("configuration: transfer.keys[%d]: %w", i, err)
		}
		out[k.Name] = key
	}
	return out, nil
}

// listExportCmd writes the list in force for other software.
type listExportCmd struct {
	settings
	RPZ     bool   `required:"" name:"rpz" help:"As a response-policy zone in zone-file form."`
	Flavour string `help:"sinkhole: listed names lead to the configured sinkhole. nxdomain: they do not exist. Default: the configuration's." enum:",sinkhole,nxdomain" default:"" placeholder:"FLAVOUR"`
	Zone    string `help:"The zone's name. Default: the configuration's." placeholder:"NAME"`
}

func (c *listExportCmd) Run(ctx context.Context, t terminal) error {
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	if c.Flavour != "" {
		conf.Transfer.Flavour = c.Flavour
	}
	if c.Zone != "" {
		conf.Transfer.Zone = c.Zone
	}
	content, err := policyZone(conf)
	if err != nil {
		return err
	}
	if len(conf.Follow) > 1 {
		return errSeveral
	}
	in, err := readList(ctx, conf, 0)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(t.out)
	left, err := content.WriteFile(out, in.list)
	if err = errors.Join(err, out.Flush()); err != nil {
		return err
	}
	if left.Owners > 0 {
		_, err = fmt.Fprintf(t.err, "%d owners cannot be in the zone and are left out; first: %s\n", left.Owners, strings.Join(left.First, ", "))
	}
	return err
}

// transferable holds that every value of the configuration's transfer is one that serve can take.
func transferable(conf config.Config) error {
	content, err := policyZone(conf)
	if err != nil {
		return err
	}
	if _, err := transferKeys(conf.Transfer); err != nil {
		return err
	}
	if err := content.Check(); err != nil {
		return fmt.Errorf("configuration: transfer: %w", err)
	}
	return nil
}
