package desk

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/chronicle"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

//go:embed *.html
var files embed.FS

// FeedPath is where the feed of changes is.
const FeedPath = "/changes.atom"

// Config is what a desk tells of.
type Config struct {
	Site        *web.Site
	Log         ledger.Source
	Key         note.Verifier
	VerifierKey string       // Key as text
	Files       http.Handler // serves the log's files; nil: they are not here
	LogAddress  string       // where they are then; "": nowhere that is known
	Resolver    Resolver
	Sinkhole    Sinkhole
	Every       time.Duration // how often the log is looked at for new entries; 0: a second
	Appeal      string        // path of the page where people appeal; "": there is none
	Logger      *slog.Logger
}

// Resolver is how it can be reached.
type Resolver struct {
	Filtered, Unfiltered []string // ADDRESS:PORT, of plain DNS

	// EncryptedFiltered and EncryptedUnfiltered are the same over encrypted transports, such as
	// https://dns.example/dns-query.
	EncryptedFiltered, EncryptedUnfiltered []string
}

// Sinkhole is what filtered names lead to, and what it keeps.
type Sinkhole struct {
	IPv4, IPv6 netip.Addr
	Ours       bool // it is run with this resolver; else nothing more is known of it here
	Octets     int  // of what was received that are kept
	Retain     time.Duration
	Disk       int64
	Truncated  bool   // addresses are kept, cut to /24 and /48
	Basis      string // by what law
}

// Desk is the public's pages.
type Desk struct {
	conf   Config
	log    *slog.Logger
	life   *chronicle.Chronicle
	names  *chronicle.Names
	pages  map[string]*web.Page
	state  atomic.Pointer[state]
	behind atomic.Bool // the log has not been read to its end yet

	mu       sync.Mutex
	policies map[ledger.Digest]*policy.Policy
}

// state is what is in force.
type state struct {
	list  *filter.List
	epoch *ledger.Epoch // nil: there is no list
	tip   ledger.Checkpoint
}

// New adds the pages to the site.
func New(conf Config) (*Desk, error) {
	d := &Desk{
		conf: conf, log: conf.Logger, life: chronicle.New(), names: chronicle.NewNames(),
		pages: make(map[string]*web.Page), policies: make(map[ledger.Digest]*policy.Policy),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.state.Store(&state{list: new(filter.List)})
	d.behind.Store(true)
	for _, name := range []string{"home", "lookup", "entry", "list", "changes", "policy", "difference", "log", "optout", "sinkhole", "among"} {
		var err error
		if d.pages[name], err = web.ParsePage(files, name+".html", "parts.html"); err != nil {
			return nil, err
		}
	}
	d.routes()
	return d, nil
}

func (d *Desk) routes() {
	s := d.conf.Site
	for pattern, answer := range map[string]web.Answer{
		"GET /{$}": d.home, "GET /lookup": d.lookup, "GET /lookup.json": d.lookupJSON, "GET /lookup/among": d.among, "GET " + scriptPath: d.script,
		"GET /entry/{n}": d.entry, "GET /list": d.list, "GET /list.json": d.listJSON,
		"GET /changes": d.changes, "GET /changes.atom": d.changesAtom, "GET /changes.json": d.changesJSON,
		"GET /policy": d.policyNow, "GET /policy.json": d.policyNow, "GET /policy/{n}": d.policyAt, "GET /policy/{n}/changes": d.policyChanges,
		"GET /log": d.logPage, "GET /log.json": d.logJSON, "GET /opt-out": d.optOut, "GET /opt-out.json": d.optOutJSON, "GET /sinkhole": d.sinkhole, "GET /sinkhole.json": d.sinkholeJSON,
	} {
		s.Handle(web.Route{Pattern: pattern, Answer: answer})
	}
	if d.conf.Files != nil {
		s.Mount("/log", d.conf.Files)
	}
	s.Nav("/lookup", web.Text{EN: "Look up", JA: "調べる"})
	s.Nav("/list", web.Text{EN: "The list", JA: "リスト"})
	s.Nav("/policy", web.Text{EN: "Policy", JA: "方針"})
	s.Nav("/log", web.Text{EN: "Log", JA: "ログ"})
	s.Nav("/opt-out", web.Text{EN: "Opting out", JA: "使わない"})
}

// Swap puts a list in force, with its epoch.
func (d *Desk) Swap(list *filter.List, epoch ledger.Epoch) {
	d.update(func(s *state) { s.list, s.epoch = list, &epoch })
	d.names.Swap(list)
}

// update changes the state; there are two that do.
func (d *Desk) update(change func(*state)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := *d.state.Load()
	change(&next)
	d.state.Store(&next)
}

const (
	// every is how often the log is looked at where nothing else is said.
	every = time.Second
	// breath is how long reading a long log leaves the processor to others, between slices
	// of some milliseconds.
	breath = 2 * time.Millisecond
)

// Run follows the log until ctx ends. It is started when the first list is in force, if there is one.
func (d *Desk) Run(ctx context.Context) {
	pause := func() { time.Sleep(breath) }
	var indexer sync.WaitGroup
	indexer.Go(func() {
		d.names.Run(ctx, pause, func(err error) { d.log.Error("names cannot be searched by how they begin", "cause", err) })
	})
	defer indexer.Wait()
	ticks := time.NewTicker(cmp.Or(d.conf.Every, every))
	defer ticks.Stop()
	last := ""
	for {
		err := d.advance(ctx, pause)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			last = ""
			d.behind.Store(false)
		case err.Error() != last: // each fault is told once
			last = err.Error()
			d.log.Error("the desk cannot read the log", "cause", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// advance reads what the log has more.
func (d *Desk) advance(ctx context.Context, pause func()) error {
	tip, err := ledger.ReadCheckpoint(ctx, d.conf.Log, d.conf.Key)
	if err != nil {
		return err
	}
	old := d.state.Load().tip
	if old.Size > 0 {
		if err := ledger.VerifyConsistency(ctx, d.conf.Log, old, tip); err != nil {
			return err
		}
	}
	if old.Size != tip.Size || old.Root != tip.Root {
		d.update(func(s *state) { s.tip = tip })
	}
	return d.life.Advance(ctx, d.conf.Log, tip, d.names.Add, pause)
}

// maxPolicyCache is how many policies are kept parsed. A listing cites the one of its time.
const maxPolicyCache = 16

// policyOf is the policy with a digest, as the log has it; nil where it is not known yet.
func (d *Desk) policyOf(ctx context.Context, digest ledger.Digest) (*policy.Policy, uint64, error) {
	at, ok := d.life.PolicyOf(digest)
	if !ok {
		return nil, 0, nil
	}
	d.mu.Lock()
	p := d.policies[digest]
	d.mu.Unlock()
	if p != nil {
		return p, at.Entry, nil
	}
	e, err := ledger.ReadEntry(ctx, d.conf.Log, d.state.Load().tip, at.Entry)
	if err != nil {
		return nil, 0, err
	}
	if e.Kind != ledger.KindPolicy {
		return nil, 0, errors.New("the entry is no policy")
	}
	if p, err = policy.Parse([]byte(e.Document)); err != nil {
		return nil, 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.policies {
		if len(d.policies) < maxPolicyCache {
			break
		}
		delete(d.policies, other)
	}
	d.policies[digest] = p
	return p, at.Entry, nil
}

// page is a reply that has a page's template.
func (d *Desk) page(name string, title web.Text, data any) *web.Reply {
	return d.pages[name].Reply(title, data)
}
