package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/desk"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/internal/publish"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/internal/sinkhole"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// deskCmd runs the pages for the public alone, beside a state folder that another process writes.
type deskCmd struct {
	settings
	Listen []netip.AddrPort `help:"Where the pages are; overrides the configuration's. May be given more than once." placeholder:"ADDR:PORT"`
}

// defaultDeskListen is where the pages are unless the configuration says otherwise.
const defaultDeskListen = "127.0.0.1:5381"

func (c *deskCmd) Run(ctx context.Context, t terminal) error {
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	if len(c.Listen) > 0 {
		var at []config.Socket
		for _, a := range c.Listen {
			at = append(at, config.Socket{AddrPort: a})
		}
		conf.Desk.Listen = &at
	}
	if len(conf.Follow) > 1 {
		return errSeveral
	}
	log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: level(conf.Reporting.Level)}))
	d, err := openDesks(conf, log)
	if err != nil {
		return err
	}
	if d == nil {
		return usageError{errors.New("desk.listen in the configuration is empty: name an address")}
	}
	defer d.close()
	g, ctx := errgroup.WithContext(ctx)
	follow, err := d.beside(ctx, conf, log)
	if err != nil {
		return err
	}
	fmt.Fprint(t.out, "desk\n", d.line(), "\nCtrl-C stops it.\n")
	d.start(ctx, g)
	follow()
	return g.Wait()
}

// beside shows the list that another process keeps, and returns what follows it.
func (d *desks) beside(ctx context.Context, conf config.Config, log *slog.Logger) (func(), error) {
	alarm := func(err error) { log.Error("the list that is shown stays as it is", "cause", err) }
	if following(conf) != nil {
		f, err := openFollowed(conf, 0, nil, log, follow.Open)
		if err != nil {
			return nil, err
		}
		d.done = append(d.done, f.done)
		if err := d.prepare(conf, f.deskLog(), log); err != nil {
			return nil, err
		}
		if list, epoch := f.List(); list != nil {
			d.swap(list, epoch)
		}
		return func() {
			f.Run(ctx, d.swap, func(e *follow.Fault) {
				if e != nil {
					alarm(e)
				}
			})
		}, nil
	}
	f, list, epoch, err := ownList(ctx, conf)
	if errors.Is(err, curate.ErrNoList) {
		err = fmt.Errorf("%s: %w; shoji serve or shoji list import makes the first one", conf.State, err)
	}
	if err != nil {
		return nil, err
	}
	if err := d.prepareOwn(conf, log); err != nil {
		return nil, err
	}
	if err := d.openAppeals(ctx, conf, nil, log); err != nil {
		return nil, err
	}
	d.swap(list, epochOf(epoch, f.Entry()))
	return func() {
		f.Run(ctx, listPoll, func(list *filter.List, e *ledger.Entry) { d.swap(list, epochOf(e, f.Entry())) }, alarm)
	}, nil
}

// desks are the pages for the public, and where they are.
type desks struct {
	site   *web.Site
	server *web.Server
	desk   *desk.Desk // nil until there is a log

	appeals *appeals // nil: there are none
	done    []func() error
}

// deskLog is the log that the pages show.
type deskLog struct {
	source  ledger.Source
	key     note.Verifier
	vkey    string
	files   http.Handler // nil: they are at address
	address string
	every   time.Duration // 0: as often as is cheap
	appeal  string        // path of the page where people appeal; "": it is elsewhere
}

// deskLog is the followed log for the pages.
func (f *followed) deskLog() deskLog {
	return deskLog{source: f.source, key: f.key, vkey: f.conf.Key, address: f.conf.Log, every: time.Duration(f.conf.Every)}
}

// openDesks opens the sockets of the pages; nil where there are to be none.
func openDesks(conf config.Config, log *slog.Logger) (*desks, error) {
	at := []netip.AddrPort{netip.MustParseAddrPort(defaultDeskListen)}
	if conf.Desk.Listen != nil {
		at = addrs(*conf.Desk.Listen)
	}
	if len(at) == 0 {
		return nil, nil
	}
	site, err := web.New(web.Config{
		Address: conf.Desk.Address, Operator: conf.Desk.Operator, Feed: desk.FeedPath, Proxies: conf.Desk.Proxies, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	server, err := web.Listen(site, at)
	if err != nil {
		return nil, err
	}
	return &desks{site: site, server: server}, nil
}

// prepareOwn adds the pages, once the log of one's own is there.
func (d *desks) prepareOwn(conf config.Config, log *slog.Logger) error {
	vkey, err := sequence.ReadVerifierKey(conf.State)
	if err != nil {
		return err
	}
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	folder, err := ledger.OpenFolder(sequence.Folder(conf.State))
	if err != nil {
		return err
	}
	d.done = append(d.done, folder.Close)
	files := publish.Handler(sequence.Folder(conf.State), curate.Lists(conf.State), vkey)
	return d.prepare(conf, deskLog{source: folder, key: key, vkey: vkey, files: files, appeal: "/appeal"}, log)
}

// prepare adds the pages.
func (d *desks) prepare(conf config.Config, l deskLog, log *slog.Logger) (err error) {
	d.desk, err = desk.New(desk.Config{
		Appeal: l.appeal,
		Site:   d.site, Log: l.source, Key: l.key, VerifierKey: l.vkey, Files: l.files, LogAddress: l.address, Every: l.every,
		Resolver: reached(conf), Sinkhole: shownSinkhole(conf), Logger: log,
	})
	return err
}

// shownSinkhole is what the pages say of the sinkhole.
func shownSinkhole(conf config.Config) desk.Sinkhole {
	s := desk.Sinkhole{IPv4: conf.Sinkhole.IPv4, IPv6: conf.Sinkhole.IPv6}
	if r := conf.Sinkhole.Run; len(r.Listen)+len(r.UDP) > 0 {
		s.Ours, s.Octets, s.Retain, s.Disk = true, sinkhole.MaxPrefix, time.Duration(r.Retain), int64(r.Disk)
		s.Truncated, s.Basis = r.Networks != "", r.Networks
	}
	return s
}

// openSinkhole makes ready what is run where filtered names lead. Its page links to the desk.
func (n *node) openSinkhole() (err error) {
	at := n.conf.Desk.Address
	if at == "" && n.desk != nil {
		at = strings.TrimSuffix(n.desk.server.URLs()[0], "/")
	}
	if at != "" {
		at = strings.TrimSuffix(at, "/") + "/lookup#" // which the browser keeps to itself
		if following(n.conf) != nil {
			at = strings.TrimSuffix(at, "#") + "?name="
		}
	}
	n.sinkhole, err = newChild(n.conf, at, n.log)
	return err
}

// reached is how people reach the resolver.
func reached(conf config.Config) desk.Resolver {
	var r desk.Resolver
	for _, a := range conf.Listen.Filtered {
		r.Filtered = append(r.Filtered, plainAddress(a))
	}
	for _, a := range conf.Listen.Unfiltered {
		r.Unfiltered = append(r.Unfiltered, plainAddress(a))
	}
	filtered, unfiltered := conf.Encrypted.Filtered, conf.Encrypted.Unfiltered
	// Over HTTPS the path chooses, behind one name: so the choice is not seen.
	if name := cmp.Or(filtered.Name, unfiltered.Name); name != "" && len(conf.Encrypted.DoH) > 0 {
		r.EncryptedFiltered = append(r.EncryptedFiltered, "https://"+name+filtered.Path)
		r.EncryptedUnfiltered = append(r.EncryptedUnfiltered, "https://"+name+unfiltered.Path)
	}
	for _, way := range []struct {
		scheme string
		at     []config.Socket
	}{{"tls://", conf.Encrypted.DoT}, {"quic://", conf.Encrypted.DoQ}} {
		if len(way.at) == 0 {
			continue
		}
		if filtered.Name != "" {
			r.EncryptedFiltered = append(r.EncryptedFiltered, way.scheme+filtered.Name)
		}
		if unfiltered.Name != "" {
			r.EncryptedUnfiltered = append(r.EncryptedUnfiltered, way.scheme+unfiltered.Name)
		}
	}
	return r
}

// plainAddress is an address as people enter it: without the port that DNS has.
func plainAddress(s config.Socket) string {
	if s.Port() == 53 {
		return s.Addr().String()
	}
	return s.String()
}

// start serves the pages until ctx ends.
func (d *desks) start(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { d.desk.Run(ctx); return nil })
	d.appeals.start(ctx, g)
	g.Go(func() error { return d.server.Serve(ctx) })
}

// swap puts a list in force.
func (d *desks) swap(list *filter.List, epoch ledger.Epoch) {
	if d != nil && d.desk != nil {
		d.desk.Swap(list, epoch)
	}
}

// epochOf is epoch entry n.
func epochOf(e *ledger.Entry, n uint64) ledger.Epoch {
	return ledger.Epoch{Entry: n, Time: e.Time, Size: e.Size, Digest: e.Digest, Bytes: e.Bytes, Count: e.Count, Layout: e.Layout, Map: e.Map}
}

func (d *desks) close() {
	if d == nil {
		return
	}
	d.server.Close()
	for _, done := range d.done {
		done()
	}
}

// line says where the pages are.
func (d *desks) line() string {
	if d == nil || d.desk == nil {
		return ""
	}
	return fmt.Sprintf("  desk        %s\n", strings.Join(d.server.URLs(), " ")) + d.appeals.line()
}

// openDesk opens the sockets of the pages. Ones that the configuration does not name may be
// taken already, by another resolver on this machine.
func (n *node) openDesk() error {
	if len(n.conf.Follow) > 1 {
		return nil // the pages are about one log
	}
	d, err := openDesks(n.conf, n.log)
	switch {
	case err == nil:
		n.desk = d
	case n.conf.Desk.Listen != nil:
		return fmt.Errorf("configuration: desk.listen: %w", err)
	default:
		n.log.Warn("there are no pages for the public; desk.listen in the configuration names another address, or none", "cause", err)
	}
	return nil
}

// startDesk shows the list in force, and follows it until ctx ends.
func (n *node) startDesk(ctx context.Context, g *errgroup.Group) {
	if n.desk == nil {
		return
	}
	prepare := n.desk.prepareOwn
	if len(n.followed) > 0 {
		prepare = func(conf config.Config, log *slog.Logger) error {
			return n.desk.prepare(conf, n.followed[0].deskLog(), log)
		}
	}
	if err := prepare(n.conf, n.log); err != nil {
		n.log.Warn("there are no pages for the public", "cause", err)
		n.desk.close()
		n.desk = nil
		return
	}
	if len(n.followed) == 0 {
		if err := n.desk.openAppeals(ctx, n.conf, n.dial, n.log); err != nil {
			n.log.Warn("nobody can appeal here", "cause", err)
		}
	}
	switch {
	case len(n.followed) > 0:
		if list, epoch := n.followed[0].List(); list != nil {
			n.desk.swap(list, epoch)
		}
	case n.follower != nil:
		n.desk.swap(n.live.Load(), epochOf(n.epoch, n.follower.Entry()))
	}
	n.desk.start(ctx, g)
}
