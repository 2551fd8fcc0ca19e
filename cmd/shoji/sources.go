package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
)

// defaultInterval is how often a source is read that does not say.
const defaultInterval = 24 * time.Hour

// sources are the configured sources of evidence.
func sources(conf config.Config) ([]curate.Source, error) {
	var out []curate.Source
	for _, s := range conf.Sources {
		interval := time.Duration(s.Interval)
		if interval == 0 {
			interval = defaultInterval
		}
		out = append(out, curate.Source{
			ID: s.ID, Title: s.Title, Location: s.Location, Format: feed.Format(s.Format), Kinds: s.Kinds, Group: s.Group,
			License: s.License, Scope: feed.Scope(s.Scope), Family: s.Family, Undated: s.Undated, Publish: s.Publish, Interval: interval,
		})
	}
	if err := curate.CheckSources(out); err != nil {
		return nil, fmt.Errorf("configuration: sources: %w", err)
	}
	return out, checkKeys(conf)
}

// dialer connects to HOST:PORT, and resolves the host.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// loop is the control loop of a configuration. close closes its evidence.
func loop(ctx context.Context, conf config.Config, dial dialer, progress func(string, uint64, uint64), log *slog.Logger) (l *curate.Loop, close func() error, err error) {
	if err := ownLog(conf); err != nil {
		return nil, nil, err
	}
	by, err := curationOf(conf)
	if err != nil {
		return nil, nil, err
	}
	fetcher, err := newFetcher(conf, dial)
	if err != nil {
		return nil, nil, err
	}
	known, err := store(ctx, conf)
	if err != nil {
		return nil, nil, err
	}
	l, err = curate.NewLoop(curate.LoopConfig{
		Dir: conf.State, Log: by.log, Guard: by.guard, Policy: by.policy, Store: known, Sources: by.sources, Fetch: fetcher.fetch, Progress: progress, Logger: log,
	})
	if err != nil {
		return nil, nil, errors.Join(err, known.Close())
	}
	return l, known.Close, nil
}

type listUpdateCmd struct {
	settings
	Due     bool     `help:"Read only the sources whose interval has passed."`
	DryRun  bool     `help:"Say what would change and change nothing."`
	Confirm bool     `help:"Confirm a change beyond the policy's limits, after having looked at it."`
	Accept  []string `help:"Take a source as it is now, although it shrank." placeholder:"ID"`
	JSON    bool     `name:"json" help:"Print the report as JSON."`
}

func (c *listUpdateCmd) Run(ctx context.Context, t terminal) error {
	if c.DryRun {
		cleanup, err := c.settings.spare()
		if err != nil {
			return err
		}
		defer cleanup()
	}
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	if len(conf.Sources) == 0 {
		return errors.New("no sources are configured: add the key sources to the configuration and name it by --config")
	}
	l, done, err := c.settings.loop(ctx, t)
	if err != nil {
		return err
	}
	rep, err := l.Update(ctx, curate.UpdateOptions{Due: c.Due, DryRun: c.DryRun, Confirm: c.Confirm, Accept: c.Accept})
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(t.out).Encode(rep); err != nil {
			return err
		}
	} else if err := printUpdate(t.out, rep, c.DryRun); err != nil {
		return err
	}
	if rep.Held != "" && !c.DryRun {
		return errors.New("nothing came into force: " + rep.Held)
	}
	return nil
}

func printUpdate(w io.Writer, rep *curate.UpdateReport, dry bool) error {
	var b strings.Builder
	for _, s := range rep.Sources {
		fmt.Fprintf(&b, "%s: %s", s.ID, s.State)
		switch s.State {
		case curate.SourceFailed:
			fmt.Fprintf(&b, ": %s; what it said before stands", s.Alert)
		case curate.SourceRefreshed:
			fmt.Fprintf(&b, ": %d claims: %d new, %d changed, %d withdrawn, %d malformed", s.Refreshed.Claims, s.Refreshed.Added, s.Refreshed.Changed, s.Refreshed.Withdrawn, s.Malformed)
		}
		b.WriteByte('\n')
		for _, why := range slices.Sorted(maps.Keys(s.Skipped)) {
			fmt.Fprintf(&b, "  skipped %d: %s\n", s.Skipped[why], why)
		}
		if len(s.NotTaken) > 0 {
			fmt.Fprintf(&b, "  triggers not taken: %s\n", strings.Join(s.NotTaken, ", "))
		}
		if s.Overruled > 0 {
			fmt.Fprintf(&b, "  %d claims do not count: the zone itself lets a part of them pass\n", s.Overruled)
		}
	}
	fmt.Fprintf(&b, "%d subjects decided\n", rep.Decided)
	for _, clause := range slices.Sorted(maps.Keys(rep.Clauses)) {
		fmt.Fprintf(&b, "  clause %s: %d\n", clause, rep.Clauses[clause])
	}
	if rep.Guarded > 0 {
		fmt.Fprintf(&b, "  never to be listed, whatever the policy says: %d\n", rep.Guarded)
	}
	if rep.Overruled > 0 {
		fmt.Fprintf(&b, "  an earlier policy zone lets pass: %d\n", rep.Overruled)
	}
	for _, c := range rep.Review {
		fmt.Fprintf(&b, "  waits for a person: %s by clause %s\n", c.Subject, c.Clause)
	}
	for _, c := range rep.First {
		fmt.Fprintf(&b, "  %s %s by clause %s\n", map[bool]string{true: "+", false: "-"}[c.Listed], c.Subject, c.Clause)
	}
	if more := rep.Listed + rep.Delisted - uint64(len(rep.First)); more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	switch {
	case dry:
		fmt.Fprintf(&b, "%d listings would begin and %d end; nothing was changed\n", rep.Listed, rep.Delisted)
		if rep.Held != "" {
			fmt.Fprintf(&b, "%s\n", rep.Held)
		}
	case rep.Held != "":
	case rep.Epoch.Count == 0 && rep.Listed+rep.Delisted == 0:
		b.WriteString("nothing changed\n")
	default:
		fmt.Fprintf(&b, "%d listings began, %d ended; in force: log entry %d, %d listings, digest %s\n", rep.Listed, rep.Delisted, rep.Epoch.Entry, rep.Epoch.Count, rep.Epoch.Digest)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sourcesCmd shows where evidence comes from, and whether it does.
type sourcesCmd struct {
	settings
	JSON bool `name:"json" help:"Print JSON for a machine."`
}

func (c *sourcesCmd) Run(ctx context.Context, t terminal) error {
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	status, err := sourceStatus(ctx, conf)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(status)
	}
	return printSources(t.out, status)
}

// sourceStatus is how the configured sources stand.
func sourceStatus(ctx context.Context, conf config.Config) (*curate.LoopStatus, error) {
	l, done, err := loop(ctx, conf, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	status, err := l.Status(ctx)
	return status, errors.Join(err, done())
}

func printSources(w io.Writer, status *curate.LoopStatus) error {
	var b strings.Builder
	for _, s := range status.Sources {
		read := "never read"
		if !s.Refreshed.IsZero() {
			read = "published " + s.Published.Format(time.DateOnly) + ", read " + s.Refreshed.Format("2006-01-02 15:04:05 MST")
		}
		fmt.Fprintf(&b, "%s: %s, %d claims of %s, next %s\n  %s\n", s.ID, read, s.Claims, strings.Join(s.Kinds, " and "), s.Due.Format("2006-01-02 15:04:05 MST"), s.Location)
		if s.Alert != "" {
			fmt.Fprintf(&b, "  failed %d times in a row: %s; what it said before stands\n", s.Failures, s.Alert)
		}
	}
	if len(status.Sources) == 0 {
		b.WriteString("no sources are configured\n")
	}
	if status.Held != "" {
		fmt.Fprintf(&b, "held back: %s\n", status.Held)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// update keeps the list up to date with its sources until ctx ends.
func (n *node) update(ctx context.Context) error {
	if len(n.conf.Sources) == 0 {
		return nil
	}
	l, done, err := loop(ctx, n.conf, n.dial, nil, n.log)
	if err != nil {
		return err
	}
	n.gauges.loop.Store(l)
	l.Run(ctx)
	n.gauges.loop.Store(nil)
	return done()
}

const (
	// maxDials bounds how many of a host's addresses are tried.
	maxDials = 8
	// dialTime is how long one address is given.
	dialTime = 10 * time.Second
)

// dial connects to a host whose addresses this resolver itself finds, unfiltered: a machine
// whose only resolver it is need not have another one to start with.
func (n *node) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	direct := net.Dialer{Timeout: dialTime}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return direct.DialContext(ctx, network, addr)
	}
	if n.around.lab {
		return nil, errors.New("there is no way from the lab to the Internet")
	}
	name, err := dns.ParseName(host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, t := range []dns.Type{dns.TypeAAAA, dns.TypeA} {
		addrs = slices.AppendSeq(addrs, n.resolver.Resolve(ctx, name, t).Addrs())
	}
	err = fmt.Errorf("%s: no address was found", host)
	for _, a := range addrs[:min(len(addrs), maxDials)] {
		conn, failed := direct.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if failed == nil {
			return conn, nil
		}
		err = failed
	}
	return nil, err
}
