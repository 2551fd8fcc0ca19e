package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/odoh"
)

const (
	// obliviousType is the media type of oblivious messages (RFC 9230 §4.1).
	obliviousType = "application/oblivious-dns-message"

	// configLife is how long a target's key is used at most, and half of it at least: targets replace theirs each
	// day (RFC 9230 §5) and accept the one before for as long as that.
	configLife = 2 * time.Hour
	// configMost is how old a key may become while the target cannot be asked for another one.
	configMost = 12 * time.Hour
	// configLeast is how long a key is used whatever the target says of it.
	configLeast = 5 * time.Minute
	// maxSaid is how much of what a proxy says of itself is shown, in characters.
	maxSaid = 200
	// maxConfigs bounds the octets of a target's configurations: a hundred keys.
	maxConfigs = 8 << 10
)

var (
	errStale = errors.New("upstream: the oblivious target does not know the key that it published")
	errView  = errors.New("upstream: a query without EDNS cannot name its view")
)

// oblivious is the client of a resolver that is asked through a proxy.
type oblivious struct {
	kept[*fetched] // the target's key
	r              Resolver
	proxy, target  *Web
	path           string // at the proxy, with its query
	view           []byte // the data of odoh.ViewOption; nil: it is not told

	last atomic.Pointer[fetched]
}

// fetched is a target's key.
type fetched struct {
	key   *odoh.Config
	at    time.Time
	until time.Time
	stale atomic.Bool // the target has said so
}

func newOblivious(r Resolver, cfg Config) (*oblivious, error) {
	at := r // the same over HTTP
	at.Transport = HTTPS
	to := url.Values{"targethost": {Authority(at)}, "targetpath": {r.Path}}
	proxy, err := NewWeb(r.Proxy.resolver(), cfg)
	if err != nil {
		return nil, err
	}
	target, err := NewWeb(at, cfg)
	if err != nil {
		return nil, err
	}
	c := &oblivious{r: r, proxy: proxy, target: target, path: r.Proxy.Path + "?" + to.Encode()}
	switch r.View {
	case Filtered:
		c.view = []byte{0}
	case Unfiltered:
		c.view = []byte{1}
	}
	c.alive = func(f *fetched) bool { return !f.stale.Load() && time.Now().Before(f.until) }
	c.dial = c.learn
	return c, nil
}

// learn fetches the target's key. Where that fails, the one before is used on, if the target has not
// refused it: the way through the proxy may be open.
func (c *oblivious) learn(ctx context.Context) (*fetched, error) {
	f, err := c.fetch(ctx)
	if err != nil {
		old := c.last.Load()
		if old == nil || old.stale.Load() || time.Since(old.at) >= configMost {
			return nil, err
		}
		f = &fetched{key: old.key, at: old.at, until: time.Now().Add(configLeast)}
	}
	c.last.Store(f)
	return f, nil
}

// fetch learns the target's key from the target.
func (c *oblivious) fetch(ctx context.Context) (*fetched, error) {
	res, err := c.target.Get(ctx, odoh.ConfigsPath, maxConfigs)
	if err != nil {
		return nil, fmt.Errorf("upstream: the key of %s: %w", c.r.Addr, err)
	}
	if res.Status != http.StatusOK {
		return nil, fmt.Errorf("upstream: %s is no oblivious target: it answers %s with status %d", c.r.Addr, odoh.ConfigsPath, res.Status)
	}
	key, err := odoh.ParseConfigs(res.Content)
	if err != nil {
		return nil, fmt.Errorf("upstream: the key of %s: %w", c.r.Addr, err)
	}
	now := time.Now()
	life := configLife/2 + rand.N(configLife/2)
	return &fetched{key: key, at: now, until: now.Add(life)}, nil
}

// ask has the proxy carry a query to the target.
func (c *oblivious) ask(ctx context.Context, query []byte, accept func([]byte) bool) error {
	plain := withoutID(query, 0)
	if c.view != nil {
		var ok bool
		if plain, ok = dns.AddOption(plain, odoh.ViewOption, c.view); !ok {
			return errView
		}
	}
	return c.twice(ctx, func(f *fetched) error {
		reply, err := c.carry(ctx, f, plain)
		if err != nil {
			return err
		}
		return once(query, reply, accept)
	})
}

// carry puts one query, and marks a key that the target does not know.
func (c *oblivious) carry(ctx context.Context, f *fetched, query []byte) ([]byte, error) {
	sealed, asked, err := f.key.Seal(query)
	if err != nil {
		return nil, err
	}
	res, err := c.proxy.Post(ctx, c.path, obliviousType, sealed, odoh.MaxSealed)
	switch {
	case err != nil:
		return nil, err
	case res.Status == http.StatusUnauthorized:
		if time.Since(f.at) >= configLeast {
			f.stale.Store(true)
		}
		return nil, errStale
	case res.Status != http.StatusOK || res.Type != obliviousType:
		said := ""
		if res.Proxy != "" {
			said = fmt.Sprintf("; it says %.*q", maxSaid, res.Proxy)
		}
		return nil, fmt.Errorf("upstream: the proxy %s answers with status %d and media type %q%s", c.r.Proxy.Addr, res.Status, res.Type, said)
	}
	reply, err := asked.Open(res.Content)
	if err != nil {
		return nil, fmt.Errorf("upstream: through the proxy %s: %w", c.r.Proxy.Addr, err)
	}
	return reply, nil
}

func (c *oblivious) close() {
	c.proxy.Close()
	c.target.Close()
}
