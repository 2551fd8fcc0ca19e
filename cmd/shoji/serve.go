package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/exchange"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/resolve"
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
	around := &surroundings{network: exchange.New(), seed: starterList(), tries: []string{
		"filtered c2.canary.example", "unfiltered c2.canary.example", "filtered www.example.com"}}
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
	conf     config.Config
	log      *slog.Logger
	around   *surroundings
	live     filter.Live
	follower *curate.Follower
	epoch    *ledger.Entry
	resolver *resolve.Resolver
	views    []view
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
	n.resolver = resolve.New(resolve.Config{
		Network: n.around.network, Memory: memory, Hints: n.around.hints, Anchors: n.around.anchors, Exempt: exempt, Forward: upstreams(n.conf),
		Minimise: minimise(n.conf.Resolve.Minimisation), NoIPv4: !*n.conf.Resolve.IPv4, NoIPv6: !*n.conf.Resolve.IPv6,
	})
	base := serve.Config{Cache: memory, Resolver: n.resolver, Lab: n.around.lab, Version: "shoji"}
	filtered := base
	filtered.Live, filtered.Sinkhole4, filtered.Sinkhole6 = &n.live, n.conf.Sinkhole.IPv4, n.conf.Sinkhole.IPv6
	filtered.BlockTTL = time.Duration(n.conf.Sinkhole.TTL)
	if err := n.openView(filteredView, serve.New(filtered), n.conf.Listen.Filtered); err != nil {
		return err
	}
	if err := n.openView(unfilteredView, serve.New(base), n.conf.Listen.Unfiltered); err != nil {
		n.close()
		return err
	}
	return nil
}

func (n *node) openView(name string, s *serve.Server, at []config.Socket) error {
	if len(at) == 0 {
		return nil
	}
	addrs := make([]netip.AddrPort, len(at))
	for i, a := range at {
		addrs[i] = a.AddrPort
	}
	l, err := listen.Listen(listen.Config{Handler: s, Addrs: addrs, Workers: n.conf.Listen.Workers, Allow: n.conf.Listen.Allow})
	if err != nil {
		return err
	}
	n.views = append(n.views, view{name, l})
	return nil
}

// openList puts the list in force that the state folder has, making the folder
// and the first list where there is none.
func (n *node) openList(ctx context.Context, p *progress) error {
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
	f, err := curate.Follow(n.conf.State)
	if err != nil {
		return err
	}
	list, epoch, err := f.Poll(ctx)
	if err != nil {
		return err
	}
	n.follower, n.epoch = f, epoch
	n.live.Swap(list)
	return nil
}

// firstList opens the log for writing, which mends what is missing, and lists
// the canaries if nothing was ever listed.
func (n *node) firstList(ctx context.Context, p *progress) error {
	guard, err := guard(n.conf)
	if err != nil {
		return err
	}
	w, err := curate.Open(ctx, curate.Config{Dir: n.conf.State, Guard: guard, Progress: p.show, Logger: n.log})
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
	g.Go(func() error {
		p := newProgress(t.err)
		err := n.openList(ctx, p)
		p.clear()
		if err != nil {
			return err
		}
		if err := n.announce(t); err != nil {
			return err
		}
		for _, v := range n.views {
			if v.name == filteredView {
				g.Go(func() error { return v.listen.Serve(ctx) })
			}
		}
		g.Go(func() error { return n.prime(ctx) })
		n.follow(ctx)
		return nil
	})
	return g.Wait()
}

// follow puts each new list in force until ctx ends.
func (n *node) follow(ctx context.Context) {
	if n.follower == nil {
		return
	}
	n.follower.Run(ctx, listPoll, func(list *filter.List, epoch *ledger.Entry) {
		n.live.Swap(list)
		n.log.Info("list in force", "entry", n.follower.Entry(), "listings", list.Count(), "digest", epoch.Digest)
	}, func(err error) {
		n.log.Error("the list in force stays as it is", "cause", err)
	})
}

// prime says whether the Internet can be reached.
func (n *node) prime(ctx context.Context) error {
	if len(n.conf.Forward) > 0 {
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
	if n.epoch == nil {
		b.WriteString("  list        none\n")
	} else {
		fmt.Fprintf(&b, "  list        epoch %d of %s: %d listings, in force by log entry %d\n",
			n.epoch.Size, n.epoch.Time.Format("2006-01-02 15:04 MST"), n.epoch.Count, n.follower.Entry())
	}
	fmt.Fprintf(&b, "  state       %s\n", n.conf.State)
	switch {
	case n.around.lab:
		b.WriteString("  answers     from the lab, an Internet in this process\n")
	case len(n.conf.Forward) > 0:
		fmt.Fprintf(&b, "  answers     from %v\n", n.conf.Forward)
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

// anchors are the configured trust anchors, by default those of the root.
func anchors(conf config.Config) ([]dnssec.Anchor, error) {
	text := dnssec.RootAnchors
	if conf.Resolve.TrustAnchors != nil {
		text = strings.Join(*conf.Resolve.TrustAnchors, "\n")
	}
	out, err := dnssec.ParseAnchors(text)
	if err != nil && strings.TrimSpace(text) != "" {
		return nil, fmt.Errorf("configuration: resolve.trust_anchors: %w", err)
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

func upstreams(conf config.Config) []resolve.Upstream {
	var out []resolve.Upstream
	for _, a := range conf.Forward {
		out = append(out, resolve.Upstream{Addr: a.Addr(), Port: a.Port()})
	}
	return out
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
