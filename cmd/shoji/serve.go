package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/credential"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/publish"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/sde"
	"github.com/shoji-dns/shoji/internal/serve"
	"github.com/shoji-dns/shoji/ledger"
)

// serveCmd runs the resolver until it is interrupted.
type serveCmd struct {
	settings
	labFlags `embed:""`
}

const (
	// listPoll is how often a new list is looked for.
	listPoll = 50 * time.Millisecond
	// primePatience is how long the root servers are waited for before the
	// resolver says that it cannot reach them.
	primePatience = 6 * time.Second
)

func (c *serveCmd) Run(ctx context.Context, t terminal) error {
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: level(conf.Reporting.Level)}))
	around := &surroundings{seed: starterList(), tries: []string{
		"filtered c2.canary.example", "unfiltered c2.canary.example", "filtered www.example.com"}}
	if around.network, err = network(conf); err != nil {
		return err
	}
	if around.hints, err = hints(conf); err != nil {
		return err
	}
	if around.anchors, err = anchors(conf); err != nil {
		return err
	}
	if !c.Lab && c.labFlags.dialled() {
		return usageError{errors.New("--loss, --duplicate, --reorder, --truncate and --spoof are of the lab: add --lab")}
	}
	if c.Lab {
		if c.State == "" && conf.State != config.Default().State {
			log.Warn("the lab keeps its state in a folder that goes with it, not in the configuration's; --state names one that stays", "configured", conf.State)
		}
		if around, err = c.labFlags.open(&conf, c.State != ""); err != nil {
			return err
		}
		defer around.close()
	}
	n := &node{conf: conf, log: log, around: around}
	if err := n.open(); err != nil {
		return err
	}
	defer n.close()
	return n.run(ctx, t)
}

// surroundings are what differs between the Internet and the lab.
type surroundings struct {
	network resolve.Network
	hints   []resolve.Hint
	anchors []dnssec.Anchor
	seed    []curate.Subject // what the first list has
	lab     bool
	tries   []string // commands to show
	cleanup func()
}

func (s *surroundings) close() {
	if s.cleanup != nil {
		s.cleanup()
	}
}

// node is a running resolver: both views, and the list that it follows.
type node struct {
	conf      config.Config
	log       *slog.Logger
	around    *surroundings
	live      filter.Live
	reasons   atomic.Pointer[sde.Template] // what filtered answers tell who asks for it
	follower  *curate.Follower             // of the log of one's own
	followed  []*followed                  // the logs of other operators; none: the log is one's own
	joint     joint                        // what they add up to, where there are several
	epoch     *ledger.Entry
	resolver  *resolve.Resolver
	refresher *serve.Refresher
	keeper    *resolve.Keeper
	copies    []copied
	transfers *transfers // nil: the list is not given to others
	published []*publish.Server
	views     []view

	filtered, unfiltered *serve.Server

	encrypted *encrypted      // nil: there are no encrypted addresses
	ech       *credential.ECH // nil: which names are asked for over TLS is not hidden
	gauges    gauges
	desk      *desks // nil: there are no pages for the public
	sinkhole  *child // nil: none is run beside the resolver
}

// The names of the views.
const (
	filteredView   = "filtered"
	unfilteredView = "unfiltered"
)

// view is one of the two Servers with its sockets.
type view struct {
	name   string
	listen *listen.Server
}

// open makes everything up to the sockets; nothing is answered yet.
func (n *node) open() error {
	memory, err := cache.New(cache.Config{Bytes: int64(n.conf.Cache.Size)})
	if err != nil {
		return err
	}
	exempt, err := names("resolve.negative_trust_anchors", n.conf.Resolve.Insecure)
	if err != nil {
		return err
	}
	zones, err := zones(n.conf)
	if err != nil {
		return err
	}
	if err := n.openCopies(); err != nil {
		return err
	}
	n.resolver = resolve.New(resolve.Config{
		Network: n.around.network, Memory: memory, Hints: n.around.hints, Anchors: n.around.anchors, Exempt: exempt,
		Validation: validation(n.conf),
		Aggressive: *n.conf.Resolve.Aggressive,
		TTLs:       ttls(n.conf.Cache),
		Minimise:   minimise(n.conf.Resolve.Minimisation), NoIPv4: !*n.conf.Resolve.IPv4, NoIPv6: !*n.conf.Resolve.IPv6,
		Zones: zones, Copies: n.replicas(), Loopback: n.conf.Resolve.Loopback, NoCookies: !*n.conf.Resolve.Cookies,
	})
	n.keeper = n.resolver.Keeper(n.keeping())
	if err := n.openECH(); err != nil {
		return err
	}
	base, err := ownAnswers(n.conf, zones, n.around.lab, n.conf.Encrypted.Unfiltered, n.echList())
	if err != nil {
		return err
	}
	n.refresher = serve.NewRefresher(n.resolver)
	base.Cache, base.Resolver, base.Sentinel = memory, n.resolver, n.sentinel()
	base.Refresher, base.Stale, base.Prefetch = n.refresher, stale(n.conf.Cache.Stale), *n.conf.Cache.Prefetch
	base.Nonrecursive, base.Status = n.conf.Cache.Nonrecursive, n.status
	filtered := base
	if private, err := encryptedUpstreams(n.conf); err == nil && len(private) > 0 {
		filtered.Cover = serve.NewCover(n.resolver)
	}
	if filtered.Local, err = n.telling(base.Local, zones); err != nil {
		return err
	}
	filtered.Required, filtered.Structured, filtered.Logs = following(n.conf) != nil, &n.reasons, origins(n.conf)
	filtered.Live, filtered.Sinkhole4, filtered.Sinkhole6 = &n.live, n.conf.Sinkhole.IPv4, n.conf.Sinkhole.IPv6
	filtered.BlockTTL = time.Duration(n.conf.Sinkhole.TTL)
	with, without := serve.New(filtered), serve.New(base)
	n.filtered, n.unfiltered = with, without
	n.gauges.memory, n.gauges.filtered = memory, with
	if err := n.openView(filteredView, with, n.conf.Listen.Filtered); err != nil {
		n.close()
		return err
	}
	if err := n.openView(unfilteredView, without, n.conf.Listen.Unfiltered); err != nil {
		n.close()
		return err
	}
	if err := cmp.Or(n.openEncrypted(serve.NewEven(with, without)), n.openTransfers(), n.openLog(), n.openFollowed(), n.structure(origins(n.conf)...), n.openMetrics(), n.openDesk(), n.openSinkhole()); err != nil {
		n.close()
		return err
	}
	return nil
}

func (n *node) openView(name string, s *serve.Server, at []config.Socket) error {
	if len(at) == 0 {
		return nil
	}
	l, err := listen.Listen(sockets(n.conf, s, addrs(at)))
	if err != nil {
		return err
	}
	n.views = append(n.views, view{name, l})
	return nil
}

// openList puts the list in force that the state folder has, making the folder
// and the first list where there is none.
func (n *node) openList(ctx context.Context, p *progress) error {
	if len(n.followed) > 0 {
		return nil
	}
	err := n.loadList(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	first := errors.Is(err, curate.ErrNoList)
	if !first { // what is damaged can be made again from the log
		n.log.Warn("rebuilding the list from the log", "cause", err)
	}
	err = n.firstList(ctx, p)
	if first && errors.Is(err, errors.ErrUnsupported) {
		n.log.Warn("nothing is filtered: there is no list, and none can be made here", "cause", err)
		return nil
	}
	if err != nil {
		return err
	}
	return n.loadList(ctx)
}

// loadList puts the list in force that the state folder has.
func (n *node) loadList(ctx context.Context) error {
	f, list, epoch, err := ownList(ctx, n.conf)
	if err != nil {
		return err
	}
	n.follower, n.epoch = f, epoch
	n.swap(list, epochOf(epoch, f.Entry()))
	return nil
}

// firstList opens the log for writing, which mends what is missing, and lists
// the canaries if nothing was ever listed.
func (n *node) firstList(ctx context.Context, p *progress) error {
	by, err := curationOf(n.conf)
	if err != nil {
		return err
	}
	w, err := by.write(ctx, nil, p.show, n.log)
	if err != nil {
		return err
	}
	_, err = w.Seed(ctx, n.around.seed)
	return errors.Join(err, w.Close())
}

func (n *node) close() {
	for _, v := range n.views {
		v.listen.Close()
	}
	n.encrypted.close()
	n.gauges.close()
	n.transfers.close()
	n.closeLog()
	for _, f := range n.followed {
		f.done()
	}
	n.desk.close()
	n.refresher.Close()
}

// run serves until ctx ends or a socket fails. The unfiltered view needs no list
// and answers at once; the filtered one does not answer before its list is in force.
func (n *node) run(ctx context.Context, t terminal) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, v := range n.views {
		if v.name == unfilteredView {
			g.Go(func() error { return v.listen.Serve(ctx) })
		}
	}
	for _, k := range n.copies {
		g.Go(func() error { k.zonecopy.Run(ctx); return nil })
	}
	g.Go(func() error {
		n.keeper.Run(ctx)
		return nil
	})
	n.gauges.run(ctx, g)
	g.Go(func() error { return n.transfers.run(ctx) })
	g.Go(func() error {
		p := newProgress(t.err)
		err := n.openList(ctx, p)
		if err == nil && n.follower != nil {
			err = n.structure(n.follower.Origin())
		}
		p.clear()
		if ctx.Err() != nil { // told to stop: what is half done is gone on with at the next start
			return nil
		}
		if err != nil {
			return err
		}
		n.publish(ctx, g)
		n.startDesk(ctx, g)
		g.Go(func() error { n.sinkhole.run(ctx); return nil })
		if err := n.announce(t); err != nil {
			return err
		}
		for _, v := range n.views {
			if v.name == filteredView {
				g.Go(func() error { return v.listen.Serve(ctx) })
			}
		}
		g.Go(func() error { return n.encrypted.run(ctx) })
		g.Go(func() error { n.keepECH(ctx); return nil })
		g.Go(func() error { return n.prime(ctx) })
		g.Go(func() error { return n.update(ctx) })
		g.Go(func() error { n.cosign(ctx); return nil })
		n.follow(ctx)
		return nil
	})
	return g.Wait()
}

// follow puts each new list in force until ctx ends.
func (n *node) follow(ctx context.Context) {
	if len(n.followed) > 0 {
		n.followAll(ctx)
		return
	}
	if n.follower == nil {
		return
	}
	n.follower.Run(ctx, listPoll, func(list *filter.List, epoch *ledger.Entry) {
		n.epoch = epoch
		n.swap(list, epochOf(epoch, n.follower.Entry()))
		n.log.Info("list in force", "entry", n.follower.Entry(), "listings", list.Count(), "digest", epoch.Digest)
	}, func(err error) {
		n.log.Error("the list in force stays as it is", "cause", err)
	})
}

// prime says whether the Internet can be reached.
func (n *node) prime(ctx context.Context) error {
	if len(forwarders(n.conf)) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, primePatience)
	defer cancel()
	start := time.Now()
	err := n.resolver.Prime(ctx)
	if err == nil { // and what they say passes validation
		if root := n.resolver.Resolve(ctx, dns.Root, dns.TypeNS); root.RCode() != dns.RCodeSuccess || root.Status().IsBogus() {
			_, why, _ := root.Error()
			err = fmt.Errorf("their answers do not pass: %s", why)
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
	case err != nil:
		n.log.Warn("no root server can be reached; filtered names are answered, others get SERVFAIL until one can. Try shoji serve --lab to see it work without a network", "cause", err)
	default:
		n.log.Info("root servers answered", "after", time.Since(start).Round(time.Millisecond))
	}
	return nil
}

// announce tells a person what runs and what to try.
func (n *node) announce(t terminal) error {
	var b strings.Builder
	fmt.Fprintf(&b, "shoji %s\n", version())
	for _, v := range n.views {
		fmt.Fprintf(&b, "  %-11s", v.name)
		for _, a := range v.listen.Addrs() {
			fmt.Fprintf(&b, " %s", a)
		}
		b.WriteString("  (UDP and TCP)\n")
	}
	b.WriteString(n.encrypted.lines() + n.transfers.line(n.conf) + n.logLine() + n.gauges.line() + n.desk.line() + n.sinkhole.line())
	switch e := n.epoch; {
	case len(n.followed) > 0:
		for _, f := range n.followed {
			b.WriteString(f.line())
		}
	case e == nil:
		b.WriteString("  list        none\n")
	default:
		b.WriteString(listLine(epochOf(e, n.follower.Entry())))
	}
	fmt.Fprintf(&b, "  state       %s\n", n.conf.State)
	switch {
	case n.around.lab:
		b.WriteString("  answers     from the lab, an Internet in this process\n")
	case len(forwarders(n.conf)) > 0:
		fmt.Fprintf(&b, "  answers     from %s\n", strings.Join(forwarders(n.conf), ", "))
	default:
		b.WriteString("  answers     from the root\n")
	}
	b.WriteString("\nTry, from another terminal:\n")
	for _, try := range n.tries() {
		fmt.Fprintf(&b, "  %s\n", try)
	}
	b.WriteString("\nCtrl-C stops it.\n")
	_, err := fmt.Fprint(t.out, b.String())
	return err
}

// tries are three commands with the addresses that are listened on.
func (n *node) tries() []string {
	at := map[string]string{}
	for _, v := range n.views {
		at[v.name] = v.listen.Addrs()[0].String()
	}
	self := "shoji"
	if strings.Contains(os.Args[0], "go-build") { // go run
		self = "go run ./cmd/shoji"
	}
	var out []string
	for _, try := range n.around.tries {
		view, question, _ := strings.Cut(try, " ")
		if at[view] != "" {
			out = append(out, fmt.Sprintf("%s query %s --server %s", self, question, at[view]))
		}
	}
	return out
}

func level(name string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // the configuration was checked
	return l
}

// hints are the configured root servers; nil means the built-in ones.
func hints(conf config.Config) ([]resolve.Hint, error) {
	var out []resolve.Hint
	for _, h := range conf.Resolve.RootHints {
		name, err := dns.ParseName(h.Name)
		if err != nil {
			return nil, fmt.Errorf("configuration: resolve.root_hints: %q: %w", h.Name, err)
		}
		out = append(out, resolve.Hint{Name: name, Addrs: []netip.Addr{h.Addr}})
	}
	return out, nil
}

// names reads the domain names of a configuration key.
func names(key string, texts []string) ([]dns.Name, error) {
	var out []dns.Name
	for _, text := range texts {
		name, err := dns.ParseName(text)
		if err != nil {
			return nil, fmt.Errorf("configuration: %s: %q: %w", key, text, err)
		}
		out = append(out, name)
	}
	return out, nil
}

func minimise(name string) resolve.Minimise {
	switch name {
	case "strict":
		return resolve.MinimiseStrict
	case "off":
		return resolve.MinimiseOff
	}
	return resolve.MinimiseRelaxed
}
