package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/metrics"
	"github.com/shoji-dns/shoji/internal/serve"
)

// gauges are what metrics are read from, beside the node's own parts.
type gauges struct {
	memory   *cache.Cache
	filtered *serve.Server
	loop     atomic.Pointer[curate.Loop] // nil: there are no sources
	listTime atomic.Int64                // Unix time of the epoch in force; 0: there is none
	servers  []*metrics.Server
}

// openMetrics opens the sockets where metrics are read.
func (n *node) openMetrics() error {
	for _, a := range n.conf.Metrics.Listen {
		s, err := metrics.Listen(metrics.Config{Listen: a.String(), Read: n.reading, Logger: n.log})
		if err != nil {
			return fmt.Errorf("configuration: metrics.listen: %w", err)
		}
		n.gauges.servers = append(n.gauges.servers, s)
	}
	return nil
}

func (g *gauges) close() {
	for _, s := range g.servers {
		s.Close()
	}
}

func (g *gauges) run(ctx context.Context, group *errgroup.Group) {
	for _, s := range g.servers {
		group.Go(func() error { return s.Serve(ctx) })
	}
}

// line is what announce says of them.
func (g *gauges) line() string {
	if len(g.servers) == 0 {
		return ""
	}
	var at []string
	for _, s := range g.servers {
		at = append(at, s.URL())
	}
	return fmt.Sprintf("  metrics     %s\n", strings.Join(at, " "))
}

// reading is how the node stands.
func (n *node) reading(ctx context.Context) metrics.Reading {
	list := n.live.Load()
	r := metrics.Reading{
		Version: version(),
		Views:   []metrics.View{{Name: filteredView, Filtered: n.gauges.filtered.Filtered()}},
		List:    metrics.List{Listings: list.Count(), Bytes: uint64(list.Bytes()), Size: list.Epoch()},
	}
	if at := n.gauges.listTime.Load(); at != 0 {
		r.List.Time = time.Unix(at, 0)
	}
	for _, v := range n.views {
		r.Sockets = append(r.Sockets, socketsOf(v.name, v.listen, "udp", "tcp")...)
	}
	if n.encrypted != nil {
		r.Sockets = append(r.Sockets, socketsOf("both", n.encrypted.listen, "", "encrypted")...)
	}
	c := n.gauges.memory.Stats()
	r.Cache = metrics.Cache{Bytes: c.Bytes, Entries: c.Entries, Puts: c.Puts, Evicted: c.Evicted}
	s, back := n.resolver.Stats(), n.refresher.Stats()
	r.Resolve = metrics.Resolve{
		Requests: s.Requests, Queries: s.Queries, Verifications: s.Verifications, Failures: s.Failures, Hashes: s.Hashes, Synthesised: s.Synthesised,
		Refreshed: back.Done, Dropped: back.Dropped, Zones: s.Zones, Servers: s.Servers, Trusts: s.Trusts, Failed: s.Failed, Open: s.Open,
	}
	if list.Bytes() == 0 {
		r.Unready = "there is no list yet"
	}
	n.readSources(ctx, &r)
	for _, of := range n.followed {
		f := of.Status()
		told := metrics.Follow{
			Log: of.name, Kind: string(f.Kind), Alarm: f.Alarmed(), Size: f.Size, Seen: f.Seen, Forks: f.Forks, Damaged: f.Damaged, Fails: f.Fails,
			Listings: f.Epoch.Count, Time: f.Epoch.Time,
		}
		for _, k := range follow.Kinds() {
			told.Kinds = append(told.Kinds, string(k))
		}
		r.Follow = append(r.Follow, told)
	}
	return r
}

// readSources reads how the sources of evidence stand, where there are any and the store can be
// read.
func (n *node) readSources(ctx context.Context, r *metrics.Reading) {
	loop := n.gauges.loop.Load()
	if loop == nil {
		return
	}
	status, err := loop.Status(ctx)
	if err != nil {
		return
	}
	r.Held = status.Held != ""
	for _, s := range status.Sources {
		r.Sources = append(r.Sources, metrics.Source{ID: s.ID, Failures: uint64(max(s.Failures, 0)), Claims: uint64(max(s.Claims, 0)), Read: s.Refreshed})
	}
}

// socketsOf are the counts of a server's sockets, of datagrams and of streams; a kind without a
// name is left out.
func socketsOf(view string, l *listen.Server, datagram, stream string) []metrics.Sockets {
	d, s := l.StatsByKind()
	var out []metrics.Sockets
	for _, k := range []struct {
		name string
		listen.Stats
	}{{datagram, d}, {stream, s}} {
		if k.name == "" {
			continue
		}
		out = append(out, metrics.Sockets{
			View: view, Transport: k.name, Unsent: k.Unsent, Conns: k.Conns, NoPlace: k.NoPlace,
			Outcomes: []metrics.Outcome{
				{Name: "hit", Count: k.Hits}, {Name: "miss", Count: k.Misses}, {Name: "shed", Count: k.Shed}, {Name: "malformed", Count: k.Malformed},
				{Name: "ignored", Count: k.Ignored}, {Name: "refused", Count: k.Refused}, {Name: "limited", Count: k.Limited},
			},
		})
	}
	return out
}
