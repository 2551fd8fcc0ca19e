package resolve

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

const (
	// signalEvery is how often servers are told which trust anchors are in use (RFC
	// 8145 §5.3 speaks of the rhythm of RFC 5011's refreshes; BIND's is a day).
	signalEvery = 24 * time.Hour

	// maxAhead is the furthest that a stored state's next refresh may lie ahead: RFC
	// 5011 §2.3 allows 15 days. Beyond it, the clock was wrong when it was stored.
	maxAhead = 15 * 24 * time.Hour
)

// KeeperConfig says how trust anchors are looked after.
type KeeperConfig struct {
	// Rollover names the zones whose anchors follow RFC 5011, at most
	// dnssec.MaxManagedZones. Zones without a configured anchor are passed over.
	Rollover []dns.Name

	// Load returns the state that was stored last, nil where there is none yet. Store
	// replaces it, durably. Both are required where Rollover is not empty.
	Load  func() ([]byte, error)
	Store func([]byte) error

	// Signal has the servers of zones told which of their keys are trust anchors here
	// (RFC 8145 §5).
	Signal bool

	Log *slog.Logger // required
}

// Keeper looks after trust anchors: it moves them on as their zones roll keys, by RFC 5011,
// and tells their zones which ones are in use, by RFC 8145.
type Keeper struct {
	r       *Resolver
	c       KeeperConfig
	states  []dnssec.Rollover
	unsaved bool
	told    map[dns.Name]told
}

// told is the last signal to a zone.
type told struct {
	tags []uint16
	at   time.Time
}

// Keeper puts the stored state of trust anchors in force and returns what goes on from
// there. A state that cannot be read is reported and passed over: the configured anchors
// count then. To be called before the first question.
func (r *Resolver) Keeper(c KeeperConfig) *Keeper {
	k := &Keeper{r: r, c: c, told: make(map[dns.Name]told)}
	if r.validator == nil {
		return k
	}
	var stored []dnssec.Rollover
	if len(c.Rollover) > 0 {
		stored = k.load()
	}
	for _, zone := range c.Rollover {
		zone = zone.Canonical()
		if len(dnssec.AnchorsOf(zone, r.configured)) == 0 || r.exempt[zone] || len(k.states) == dnssec.MaxManagedZones {
			continue
		}
		state, ok := dnssec.StateOf(zone, stored)
		if ok {
			state = state.Trust(r.configured)
		} else {
			state = dnssec.NewRollover(zone, r.configured)
		}
		k.states = append(k.states, state)
		k.force(&state)
	}
	return k
}

func (k *Keeper) load() []dnssec.Rollover {
	text, err := k.c.Load()
	if err == nil && len(text) > 0 {
		var states []dnssec.Rollover
		if states, err = dnssec.ParseRollovers(text); err == nil {
			return states
		}
	}
	if err != nil {
		k.c.Log.Warn("the stored state of trust anchors is of no use; those of the configuration count, and the state begins anew", "cause", err)
	}
	return nil
}

// Run looks after the anchors until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	if k.r.validator == nil || len(k.states) == 0 && !k.c.Signal {
		return
	}
	for {
		k.refresh(ctx)
		if k.c.Signal {
			k.signal(ctx)
		}
		timer := time.NewTimer(k.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// due reports whether a zone's keys are to be fetched.
func due(s *dnssec.Rollover, now time.Time) bool {
	return !now.Before(s.Next) || s.Next.Sub(now) > maxAhead
}

// pause is how long nothing is to be done.
func (k *Keeper) pause() time.Duration {
	now := k.r.now()
	least := signalEvery
	for i := range k.states {
		least = min(least, k.states[i].Next.Sub(now))
	}
	return max(least, time.Second)
}

// refresh fetches the keys of zones whose time has come (RFC 5011 §2.3).
func (k *Keeper) refresh(ctx context.Context) {
	for i := range k.states {
		if s := &k.states[i]; due(s, k.r.now()) && ctx.Err() == nil {
			k.observe(ctx, s)
			k.unsaved = true
		}
	}
	if k.unsaved && ctx.Err() == nil {
		k.save()
	}
}

// save stores the states. What could not be stored is in force all the same, and tried again.
func (k *Keeper) save() {
	text, err := dnssec.MarshalRollovers(k.states)
	if err == nil {
		err = k.c.Store(text)
	}
	if err != nil {
		k.c.Log.Error("the state of trust anchors cannot be stored; a restart goes back to the last one that was", "cause", err)
		return
	}
	k.unsaved = false
}

// observe asks a zone for its keys and moves its anchors on.
func (k *Keeper) observe(ctx context.Context, s *dnssec.Rollover) {
	w := newWork(k.r.now())
	f, err := k.r.fetch(ctx, w, question{s.Zone, dns.TypeDNSKEY}, nil)
	now := k.r.now()
	if err != nil {
		if ctx.Err() == nil {
			k.c.Log.Warn("the keys of a trust anchor's zone cannot be fetched", "zone", s.Zone, "cause", err, "next", s.Retry(now).Next)
			*s = s.Retry(now)
		}
		return
	}
	next, keys, status := k.r.validator.Observe(*s, f.records, now, &w.proofs)
	if !status.IsSecure() {
		k.c.Log.Warn("the keys of a trust anchor's zone do not verify", "zone", s.Zone, "status", status, "cause", status.Reason(), "next", next.Next)
	}
	k.report(s, &next)
	*s = next
	k.force(s)
	if keys != nil {
		k.r.footing.Load().trusts.put(s.Zone, trustIn(keys, status, now.Add(maxTTL)))
	}
}

// force puts the anchors of a state in force.
func (k *Keeper) force(s *dnssec.Rollover) {
	ds := s.DS()
	if len(ds) == 0 {
		k.c.Log.Error("all trust anchors of a zone are revoked: it is not validated by an anchor of its own any more (RFC 5011 §5). Configure a new one", "zone", s.Zone)
	}
	k.r.anchor(s.Zone, ds)
}

// report says what has become of keys.
func (k *Keeper) report(was, is *dnssec.Rollover) {
	for _, m := range is.Keys {
		if before := stateOf(was.Keys, m.Key); before != m.State.String() {
			k.c.Log.Info("trust anchor key", "zone", is.Zone, "tag", m.Key.Tag(), "was", before, "is", m.State)
		}
	}
	for _, m := range was.Keys {
		if after := stateOf(is.Keys, m.Key); after == unwatched {
			k.c.Log.Info("trust anchor key", "zone", is.Zone, "tag", m.Key.Tag(), "was", m.State, "is", after)
		}
	}
}

const unwatched = "unknown"

func stateOf(keys []dnssec.ManagedKey, key dnssec.DNSKEY) string {
	for i := range keys {
		if m := &keys[i]; m.Key.PublicKey == key.PublicKey && m.Key.Algorithm == key.Algorithm {
			return m.State.String()
		}
	}
	return unwatched
}

// signal tells the servers of each zone with anchors the tags of those in use, once in a
// while and when they change. What they answer does not matter.
func (k *Keeper) signal(ctx context.Context) {
	for zone, anchors := range k.r.footing.Load().anchors {
		now, tags := k.r.now(), tags(anchors)
		last := k.told[zone]
		if k.r.exempt[zone] || slices.Equal(last.tags, tags) && now.Before(last.at.Add(signalEvery)) {
			continue
		}
		name, ok := dnssec.KeyTagQuery(zone, tags)
		if !ok {
			continue
		}
		k.told[zone] = told{tags, now}
		w := newWork(now)
		q := question{name, dns.TypeNULL}
		w.push(q)
		if _, err := k.r.iterate(ctx, w, q, nil); err != nil && ctx.Err() == nil {
			k.c.Log.Debug("a zone's servers could not be told the trust anchors in use", "zone", zone, "cause", err)
		}
	}
}
