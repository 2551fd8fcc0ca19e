package resolve

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// rootKey is a key pair of the root.
type rootKey struct {
	public *mdns.DNSKEY
	secret crypto.Signer
}

func newRootKey(t testing.TB, flags uint16) *rootKey {
	t.Helper()
	k := &rootKey{public: &mdns.DNSKEY{
		Hdr:   mdns.RR_Header{Name: ".", Rrtype: mdns.TypeDNSKEY, Class: mdns.ClassINET, Ttl: 86400},
		Flags: flags, Protocol: 3, Algorithm: mdns.ECDSAP256SHA256,
	}}
	secret, err := k.public.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	k.secret = secret.(crypto.Signer)
	return k
}

// revoked is the key with the revoke bit set.
func (k *rootKey) revoked() *rootKey {
	c := *k.public
	c.Flags |= mdns.REVOKE
	return &rootKey{&c, k.secret}
}

// rollingRoot is a root zone of one name, www., whose keys change while it is asked.
type rollingRoot struct {
	t         *testing.T
	mu        sync.Mutex
	zsk       *rootKey
	published []*rootKey // key signing keys in the set
	signers   []*rootKey // of the set
	asked     []string   // names of queries of type NULL
	fetched   int        // queries of type DNSKEY
}

func (z *rollingRoot) roll(published, signers []*rootKey) {
	z.mu.Lock()
	z.published, z.signers = published, signers
	z.mu.Unlock()
}

func (z *rollingRoot) sign(k *rootKey, set []mdns.RR) mdns.RR {
	now := time.Now()
	s := &mdns.RRSIG{
		Algorithm: k.public.Algorithm, KeyTag: k.public.KeyTag(), SignerName: ".",
		Inception: uint32(now.Add(-24 * time.Hour).Unix()), Expiration: uint32(now.Add(10 * 24 * time.Hour).Unix()),
	}
	s.Hdr.Ttl = set[0].Header().Ttl
	if err := s.Sign(k.secret, set); err != nil {
		z.t.Error(err)
	}
	return s
}

func (z *rollingRoot) handle(q simnet.Query) []simnet.Reply {
	z.mu.Lock()
	defer z.mu.Unlock()
	ask, m := new(mdns.Msg), new(mdns.Msg)
	if err := ask.Unpack(q.Bytes); err != nil {
		return nil
	}
	m.SetReply(ask)
	m.RecursionDesired, m.Authoritative = false, true
	m.SetEdns0(1232, true)
	switch name, t := strings.ToLower(ask.Question[0].Name), ask.Question[0].Qtype; {
	case name == "." && t == mdns.TypeNS:
		m.Answer = parseZone(". 86400 NS a.root.").rrs
		m.Extra = append(parseZone("a.root. 86400 A 192.0.2.1").rrs, m.Extra...)
	case name == "." && t == mdns.TypeDNSKEY:
		z.fetched++
		set := []mdns.RR{z.zsk.public}
		for _, k := range z.published {
			set = append(set, k.public)
		}
		m.Answer = slices.Clone(set)
		for _, k := range z.signers {
			m.Answer = append(m.Answer, z.sign(k, set))
		}
	case name == "www." && t == mdns.TypeA:
		set := parseZone("www. 60 A 198.51.100.1").rrs
		m.Answer = append(set, z.sign(z.zsk, set))
	default:
		if t == mdns.TypeNULL {
			z.asked = append(z.asked, name)
		}
		m.Rcode = mdns.RcodeNameError
		m.Ns = parseZone(". 60 SOA a.root. h. 1 1 1 1 60").rrs
	}
	b, err := m.Pack()
	if err != nil {
		z.t.Error(err)
	}
	return []simnet.Reply{{Bytes: b}}
}

// keeping is a resolver of that root whose anchors are looked after, and that can be
// started anew. Its Keeper has mu while it reads or writes what the test looks at, and the
// test takes it before it lets time pass, which orders nothing by itself.
type keeping struct {
	*rollingRoot
	config Config
	stored []byte
	log    bytes.Buffer
	r      *Resolver
	stop   func()
	fail   error // of the next Store
}

func newKeeping(t *testing.T, anchor *rootKey) *keeping {
	z := &rollingRoot{t: t, zsk: newRootKey(t, mdns.ZONE)}
	z.roll([]*rootKey{anchor}, []*rootKey{anchor})
	in := simnet.New(1)
	in.Handle(z.handle, netip.MustParseAddr(rootAddr))
	anchors, err := dnssec.ParseAnchors(anchor.public.ToDS(mdns.SHA256).String())
	if err != nil {
		t.Fatal(err)
	}
	return &keeping{rollingRoot: z, config: Config{Network: in, Hints: hints(rootAddr), Anchors: anchors}}
}

// start begins anew with what was stored, as after a restart.
func (k *keeping) start() {
	k.config.Memory = newMemory()
	k.r = New(k.config)
	keeper := k.r.Keeper(KeeperConfig{
		Rollover: []dns.Name{dns.Root}, Signal: true, Log: slog.New(slog.NewTextHandler(k, nil)),
		Load: func() ([]byte, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.stored, nil
		},
		Store: func(text []byte) error {
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.fail != nil {
				return k.fail
			}
			k.stored = text
			return nil
		},
	})
	ctx, cancel := context.WithCancel(k.t.Context())
	done := make(chan struct{})
	go func() {
		keeper.Run(ctx)
		close(done)
	}()
	k.stop = func() {
		k.handOver()
		cancel()
		<-done
	}
	synctest.Wait()
}

// Write takes what the Keeper logs.
func (k *keeping) Write(line []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(line)
}

// handOver puts what the test did before what the Keeper does next.
func (k *keeping) handOver() {
	k.mu.Lock()
	defer k.mu.Unlock()
}

func (k *keeping) pass(days int) {
	k.handOver()
	time.Sleep(time.Duration(days) * 24 * time.Hour)
	synctest.Wait()
}

// state is what was stored of a key.
func (k *keeping) state(key *rootKey) string {
	k.t.Helper()
	states, err := dnssec.ParseRollovers(k.stored)
	if err != nil {
		k.t.Fatalf("%v in\n%s", err, k.stored)
	}
	for _, m := range states[0].Keys {
		if m.Key.Tag() == key.public.KeyTag() {
			return m.State.String()
		}
	}
	return "unknown"
}

func (k *keeping) want(what string, key *rootKey, state string, secure bool) {
	k.t.Helper()
	if got := k.state(key); got != state {
		k.t.Errorf("%s: the key is %s, want %s\n%s", what, got, state, k.log.String())
	}
	a := k.r.Resolve(k.t.Context(), dns.MustName("www"), dns.TypeA)
	if a.Status().IsSecure() != secure || a.Status().IsBogus() == secure {
		k.t.Errorf("%s: www is %s %s", what, a.Status(), a.Status().Reason())
	}
}

func keys(list ...*rootKey) []*rootKey { return list }

// The root gets a new key signing key. It is trusted after thirty days, a restart in
// between notwithstanding; the old one is revoked, and not even the configuration, which
// still has it, brings it back.
func TestKeyRollover(t *testing.T) {
	story(t, func(t *testing.T) {
		old, next := newRootKey(t, mdns.ZONE|mdns.SEP), newRootKey(t, mdns.ZONE|mdns.SEP)
		k := newKeeping(t, old)
		k.start()
		k.want("at first", old, "valid", true)

		k.roll(keys(old, next), keys(old))
		k.pass(1)
		k.want("the new key is there", next, "pending", true)
		k.pass(20)
		k.stop()
		k.pass(1)
		k.start()
		k.pass(7)
		k.want("after 29 days", next, "pending", true)
		k.pass(3)
		k.want("after 32 days", next, "valid", true)

		k.roll(keys(next), keys(next))
		k.pass(1)
		k.want("the old key is gone for a day", old, "missing", true)
		k.roll(keys(old, next), keys(old))
		k.pass(1)
		k.want("and back", old, "valid", true)

		k.roll(keys(old.revoked(), next), keys(old.revoked(), next))
		k.pass(1)
		k.want("the old key is revoked", old, "revoked", true)
		k.stop()
		k.roll(keys(old), keys(old))
		k.start()
		k.want("after a restart, somebody replays the old key", old, "revoked", false)
		k.roll(keys(next), keys(next))
		k.pass(40)
		k.want("much later", old, "removed", true)
		k.stop()
		for _, line := range []string{"was=pending is=valid", "was=valid is=missing", "is=revoked", "was=revoked is=removed"} {
			if !strings.Contains(k.log.String(), line) {
				t.Errorf("the log does not say %q:\n%s", line, k.log.String())
			}
		}
	})
}

// A key that goes away during its hold-down has to wait anew.
func TestKeyRolloverCalledOff(t *testing.T) {
	story(t, func(t *testing.T) {
		old, next := newRootKey(t, mdns.ZONE|mdns.SEP), newRootKey(t, mdns.ZONE|mdns.SEP)
		k := newKeeping(t, old)
		k.roll(keys(old, next), keys(old))
		k.start()
		k.pass(25)
		k.roll(keys(old), keys(old))
		k.pass(1)
		k.want("called off", next, "unknown", true)
		k.roll(keys(old, next), keys(old))
		k.pass(10)
		k.want("35 days after it was seen first", next, "pending", true)
		k.stop()
	})
}

// All anchors revoked: the zone has none any more, and says so (RFC 5011 §5).
func TestAllKeysRevoked(t *testing.T) {
	story(t, func(t *testing.T) {
		old := newRootKey(t, mdns.ZONE|mdns.SEP)
		k := newKeeping(t, old)
		k.start()
		k.roll(keys(old.revoked()), keys(old.revoked()))
		k.pass(1)
		if a := k.r.Resolve(t.Context(), dns.MustName("www"), dns.TypeA); !a.Status().IsIndeterminate() {
			t.Errorf("www is %s", a.Status())
		}
		if !strings.Contains(k.log.String(), "all trust anchors of a zone are revoked") {
			t.Errorf("nobody was told:\n%s", k.log.String())
		}
		k.stop()
	})
}

// A damaged state is reported, and the configured anchors count.
func TestDamagedAnchorState(t *testing.T) {
	story(t, func(t *testing.T) {
		key := newRootKey(t, mdns.ZONE|mdns.SEP)
		k := newKeeping(t, key)
		k.start()
		k.stop()
		for what, text := range map[string][]byte{
			"cut short": k.stored[:len(k.stored)/2],
			"changed":   bytes.Replace(k.stored, []byte("valid"), []byte("revoked"), 1),
			"noise":     []byte("\x00\xff\n"),
		} {
			k.stored = text
			k.log.Reset()
			k.start()
			k.want(what, key, "valid", true)
			k.stop()
			if n := strings.Count(k.log.String(), "level=WARN"); n != 1 || !strings.Contains(k.log.String(), "dnssec: trust anchor state") {
				t.Errorf("%s: the log says\n%s", what, k.log.String())
			}
		}
	})
}

// What cannot be stored is in force, and is stored as soon as that works again.
func TestAnchorStateIsStoredLater(t *testing.T) {
	story(t, func(t *testing.T) {
		key := newRootKey(t, mdns.ZONE|mdns.SEP)
		k := newKeeping(t, key)
		k.fail = errors.New("disk full")
		k.start()
		if len(k.stored) != 0 || !strings.Contains(k.log.String(), "disk full") {
			t.Errorf("stored %q, log\n%s", k.stored, k.log.String())
		}
		k.fail = nil
		k.pass(1)
		k.want("a day later", key, "valid", true)
		k.stop()
	})
}

// The zone's servers hear which keys are trusted, once a day and when that changes.
func TestAnchorsAreSignalled(t *testing.T) {
	story(t, func(t *testing.T) {
		old, next := newRootKey(t, mdns.ZONE|mdns.SEP), newRootKey(t, mdns.ZONE|mdns.SEP)
		k := newKeeping(t, old)
		k.roll(keys(old, next), keys(old))
		k.start()
		k.pass(40)
		k.stop()
		one := fmt.Sprintf("_ta-%04x.", old.public.KeyTag())
		tags := []uint16{old.public.KeyTag(), next.public.KeyTag()}
		slices.Sort(tags)
		both := fmt.Sprintf("_ta-%04x-%04x.", tags[0], tags[1])
		if k.asked[0] != one || k.asked[len(k.asked)-1] != both || slices.Index(k.asked, both) < 28 {
			t.Errorf("signals %q", k.asked)
		}
		if n := len(k.asked); n < 38 || n > 45 {
			t.Errorf("%d signals in 40 days", n)
		}
		if k.fetched > 90 { // half the TTL of a day is twice a day
			t.Errorf("%d times asked for keys in 40 days", k.fetched)
		}
	})
}
