package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/database"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/intake"
	"github.com/shoji-dns/shoji/internal/staff"
)

// deskFile is the database of cases and staff in the state folder.
const deskFile = "desk.db"

// deskDatabase is where cases and staff are kept: in PostgreSQL where evidence is.
func deskDatabase(conf config.Config) string {
	switch {
	case conf.Desk.Database != "":
		return conf.Desk.Database
	case database.IsPostgres(conf.Evidence):
		return conf.Evidence
	}
	return filepath.Join(conf.State, deskFile)
}

// openDeskDatabase opens it; what is deleted from it is overwritten.
func openDeskDatabase(conf config.Config) (*database.DB, error) {
	address := deskDatabase(conf)
	if !database.IsPostgres(address) {
		if err := os.MkdirAll(filepath.Dir(address), 0o755); err != nil {
			return nil, err
		}
	}
	return database.Open(address, database.Options{Erase: true})
}

// appeals are the pages where people appeal and staff decides, and what is behind them.
type appeals struct {
	docket *docket.Docket
	invite string // where the first member of staff joins; "" where there is one
}

// openAppeals adds the pages of appeals and of staff to the others. They are there where the log is
// one's own: whoever follows another's log appeals there.
func (d *desks) openAppeals(ctx context.Context, conf config.Config, dial dialer, log *slog.Logger) error {
	by, err := curationOf(conf)
	if err != nil {
		return err
	}
	l, done, err := loop(ctx, conf, dial, nil, log)
	if err != nil {
		return err
	}
	d.done = append(d.done, done)
	db, err := openDeskDatabase(conf)
	if err != nil {
		return err
	}
	d.done = append(d.done, db.Close)
	a := &appeals{}
	if a.docket, err = docket.Open(ctx, docket.Config{Database: db, Dir: conf.State, Hear: l.Hear, Reviewer: l, Logger: log}); err != nil {
		return err
	}
	if err := intake.Register(d.site, intake.Config{Docket: a.docket, Policy: by.policy, Logger: log}); err != nil {
		return err
	}
	store, err := staff.OpenStore(ctx, db, nil)
	if err != nil {
		return err
	}
	open, err := openID(conf)
	if err != nil {
		return err
	}
	address := d.address(conf)
	err = staff.Register(d.site, staff.Config{
		Store: store, Docket: a.docket, Policy: by.policy, Address: address, OpenID: open, Logger: log,
		Explain: func(ctx context.Context, subject string) (*curate.Explanation, error) {
			return by.explain(ctx, subject)
		},
	})
	if err != nil {
		return err
	}
	members, err := store.Count(ctx)
	if err == nil && members == 0 && open.Issuer == "" {
		var token string
		token, err = store.Invite(ctx, "")
		a.invite = address + staff.JoinPath(token)
	}
	d.appeals = a
	return err
}

// explain is what is known of a subject now.
func (c curation) explain(ctx context.Context, subject string) (*curate.Explanation, error) {
	s, err := curate.ParseAsked(subject)
	if err != nil {
		return nil, err
	}
	known, err := store(ctx, c.conf)
	if err != nil {
		return nil, err
	}
	k, err := curate.OpenState(ctx, c.conf.State, known, c.guard, c.sources)
	if err != nil {
		return nil, errors.Join(err, known.Close())
	}
	x, err := k.Explain(ctx, s, time.Now().UTC().Truncate(time.Second))
	return x, errors.Join(err, k.Close(), known.Close())
}

// address is where browsers find the pages: as configured, or by a name that this machine has. To
// browsers localhost is safe without TLS, and has a name, which passkeys need.
func (d *desks) address(conf config.Config) string {
	if conf.Desk.Address != "" {
		return strings.TrimSuffix(conf.Desk.Address, "/")
	}
	u, err := url.Parse(d.server.URLs()[0])
	if err != nil {
		return "http://localhost"
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.IsLoopback() || a.IsUnspecified()) {
		return "http://localhost:" + u.Port()
	}
	return "http://" + u.Host
}

// start has statements heard until ctx ends.
func (a *appeals) start(ctx context.Context, g *errgroup.Group) {
	if a != nil {
		g.Go(func() error { a.docket.Run(ctx); return nil })
	}
}

// line tells the console how the first member of staff joins.
func (a *appeals) line() string {
	if a == nil || a.invite == "" {
		return ""
	}
	return fmt.Sprintf("  staff       %s (works once, within %s; shoji staff invite makes another)\n", a.invite, staff.InvitationTime)
}

// openID is the provider of the configuration.
func openID(conf config.Config) (staff.OpenID, error) {
	o := conf.Desk.OpenID
	out := staff.OpenID{Issuer: o.Issuer, Client: o.Client, Allow: o.Allow}
	if o.SecretFile == "" {
		return out, nil
	}
	b, err := os.ReadFile(o.SecretFile)
	if err != nil {
		return out, fmt.Errorf("configuration: desk.openid.secret_file: %w", err)
	}
	out.Secret = strings.TrimSpace(string(b))
	return out, nil
}
