// Package rpz gives the list in force to other resolvers as a response-policy zone, and
// reads the policy zones of others, by zone transfer both ways.
//
// # Out: the zone
//
// A [Zone] holds the list in force; a [Server] answers for it. The content is a pure
// function of the list and of [Content]:
//
//	a name alone (exact)       NAME.ORIGIN
//	a name with all below it   NAME.ORIGIN and *.NAME.ORIGIN
//	an address prefix          LENGTH.REVERSED-ADDRESS.rpz-ip.ORIGIN
//
// with CNAME . (flavour nxdomain: the name does not exist) or with the sinkhole's A and
// AAAA (flavour sinkhole: local data, so that every other type is NODATA), as
// draft-vixie-dnsop-dns-rpz says. Names come in the order of the list, before the prefixes.
// The SOA's serial number is the number of log entries that the list was compiled from,
// modulo 2³²: a log only grows, and so does the serial (RFC 1982). Two servers that follow
// one log serve the same zone under the same serial.
//
// The zone is not held in memory: a transfer (AXFR) walks over the compiled list, which the
// operating system maps. Differences (IXFR, RFC 1995) come from the log itself: the journal
// is what the log's last [MaxJournal] entries change about the zone, read when the first
// list arrives and continued with each one. A step of it leads from the list of one epoch
// entry to that of the next and holds exactly the records that differ. Whoever has a serial
// before the journal, or one that was never an epoch, or would get a difference longer than
// the zone, gets the whole zone in the IXFR's place. Of the log's entries before the journal
// only those about the journal's own subjects are remembered, to know what was listed then.
//
// Owners longer than a name can be, and names that would mean something else in a policy
// zone (a label "*" in front, or "rpz-…" at the end), cannot be written: they are counted and
// the first [maxShown] are named in a line of the log.
//
// # Who may transfer it
//
// A [Grant] admits a prefix, with a TSIG key (RFC 8945) or without. Over TCP nobody else
// gets beyond the connection's opening; over UDP others get REFUSED. Of the zone only its
// SOA and NS records are answered besides transfers: it is there to be transferred. Replies
// to signed requests are signed, every message of a transfer. Secondaries are told of each
// new list by NOTIFY (RFC 1996), signed with their key where they have one.
//
// # In: vendors' zones
//
// A [Vendor] transfers a policy zone, whole or by difference, holds its records (some 150
// octets each), and writes them as a file for package feed, which knows the RPZ draft's precedence.
//
// # Limits and known faults
//
// The limits on what strangers can drive stand in limits.go. After a start the journal of a
// log of a million entries takes some seconds to read; until then every transfer is of the
// whole zone, and a list that is published meanwhile waits. Listen on addresses and not on 0.0.0.0
// or [::] where a host has several: a reply over UDP leaves from the one that the system chooses. A change of flavour, sinkhole or TTL
// does not change the serial: secondaries that have the zone must transfer it anew, or the
// zone gets another name. Transfers are not encrypted (RFC 9103). Commitments, listings whose names
// are not told, are not in the zone.
package rpz

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// List is a list as it is in force by one epoch entry. It does not change.
type List interface {
	// Epoch is the number of log entries that it was compiled from.
	Epoch() uint64
	// Count is the number of listings.
	Count() uint64
	// Names hands out each name with its scope, those of one name one after the other.
	Names(yield func(dns.Name, ledger.Scope) bool) error
	// Prefixes hands out each prefix.
	Prefixes(yield func(netip.Prefix) bool)
	// Has reports whether exactly this name is listed with exactly this scope.
	Has(name dns.Name, scope ledger.Scope) bool
	// HasPrefix reports whether exactly this prefix is listed.
	HasPrefix(p netip.Prefix) bool
}

// Flavour is what the zone makes other resolvers answer for a listed name.
type Flavour string

// The flavours.
const (
	Sinkhole Flavour = "sinkhole" // the sinkhole's addresses; NODATA for other types
	NXDomain Flavour = "nxdomain" // the name does not exist
)

// Content says what the zone is made of, besides the list.
type Content struct {
	Origin    dns.Name // the zone's name
	Flavour   Flavour
	Sinkhole4 netip.Addr    // flavour sinkhole: the A records; the zero Addr: none
	Sinkhole6 netip.Addr    // flavour sinkhole: the AAAA records; the zero Addr: none
	TTL       time.Duration // of the policy records, in whole seconds
}

// The timers of the SOA record, in seconds. Secondaries that miss a NOTIFY ask every minute,
// so that a delisting is soon felt; one that reaches nobody keeps filtering for a week.
const (
	soaRefresh = 60
	soaRetry   = 30
	soaExpire  = 7 * 24 * 3600
)

// The names at the zone's apex. A policy zone is never asked for by name, so nothing need
// be there: RFC 6761 §6.3 and §6.4.
const (
	apexServer  = "localhost."
	apexMailbox = "nobody.invalid."
)

// Check refuses what no zone can be made of.
func (c *Content) Check() error {
	switch {
	case c.Origin == "" || c.Origin == dns.Root:
		return errors.New("the zone has no name")
	case len(c.Origin) > maxOrigin:
		return fmt.Errorf("the zone's name is longer than %d octets, which leaves too little for the names in it", maxOrigin)
	case c.Flavour != Sinkhole && c.Flavour != NXDomain:
		return fmt.Errorf("flavour %q is neither %s nor %s", c.Flavour, Sinkhole, NXDomain)
	case c.Flavour == Sinkhole && !c.Sinkhole4.IsValid() && !c.Sinkhole6.IsValid():
		return errors.New("flavour sinkhole, and no sinkhole has an address")
	case c.TTL < 0 || c.TTL > maxTTL:
		return fmt.Errorf("a TTL of %s is not between 0s and %s", c.TTL, maxTTL)
	}
	return nil
}

// serial is the zone's serial number for a list of that many log entries.
func serial(epoch uint64) uint32 { return uint32(epoch) }

// soa is the zone's SOA record for a list of that many log entries.
func (c *Content) soa(epoch uint64) mdns.RR {
	return &mdns.SOA{
		Hdr: c.header(c.Origin.String(), mdns.TypeSOA), Ns: apexServer, Mbox: apexMailbox,
		Serial: serial(epoch), Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: c.seconds(),
	}
}

// ns is the zone's NS record, without which no server loads it.
func (c *Content) ns() mdns.RR {
	return &mdns.NS{Hdr: c.header(c.Origin.String(), mdns.TypeNS), Ns: apexServer}
}

func (c *Content) seconds() uint32 { return uint32(c.TTL / time.Second) }

func (c *Content) header(owner string, t uint16) mdns.RR_Header {
	return mdns.RR_Header{Name: owner, Rrtype: t, Class: mdns.ClassINET, Ttl: c.seconds()}
}

// policy appends the records that make a trigger's owner a policy. An address trigger has
// data of its own family only, which is all that it can be asked for; Unbound takes no
// other. Where the sinkhole has no address of that family the answer is no data.
func (c *Content) policy(out []mdns.RR, t trigger, owner string) []mdns.RR {
	if c.Flavour == NXDomain {
		return append(out, &mdns.CNAME{Hdr: c.header(owner, mdns.TypeCNAME), Target: "."})
	}
	if c.Sinkhole4.IsValid() && !t.prefix.Addr().Is6() {
		out = append(out, &mdns.A{Hdr: c.header(owner, mdns.TypeA), A: c.Sinkhole4.AsSlice()})
	}
	if c.Sinkhole6.IsValid() && !t.prefix.Addr().Is4() {
		out = append(out, &mdns.AAAA{Hdr: c.header(owner, mdns.TypeAAAA), AAAA: c.Sinkhole6.AsSlice()})
	}
	if len(out) == 0 {
		out = append(out, &mdns.CNAME{Hdr: c.header(owner, mdns.TypeCNAME), Target: "*."})
	}
	return out
}

// trigger is one owner of the zone: a name, all names below one, or a prefix.
type trigger struct {
	name   dns.Name // "" where prefix is valid
	below  bool     // all names below name, and not name itself
	prefix netip.Prefix
}

// ipZone is the label under which a policy zone has its address triggers.
const ipZone = "rpz-ip"

// owner is the trigger's owner relative to the zone, as text without a dot behind it.
func (t trigger) owner() string {
	switch {
	case t.prefix.IsValid():
		return prefixOwner(t.prefix)
	case t.below:
		return "*." + strings.TrimSuffix(t.name.String(), ".")
	}
	return strings.TrimSuffix(t.name.String(), ".")
}

// unfit says why a trigger cannot be written in the zone; "" where it can.
func (c *Content) unfit(t trigger) string {
	if t.prefix.IsValid() {
		return ""
	}
	length := len(t.name) - 1 + len(c.Origin)
	if t.below {
		length += len("*") + 1
	}
	last := t.name.Suffix(1)
	switch {
	case t.name == dns.Root:
		return "the root"
	case length > dns.MaxName:
		return "too long with the zone's name behind it"
	case strings.HasPrefix(string(t.name), "\x01*"):
		return "a label * in front means all names below"
	case len(last) > 5 && strings.HasPrefix(string(last[1:]), "rpz-"):
		return "a last label rpz-… means another trigger"
	}
	return ""
}

// prefixOwner writes a prefix as an rpz-ip trigger: its length and the address's parts
// from the last to the first; for IPv6 the longest run of zero parts is "zz"
// (draft-vixie-dnsop-dns-rpz §4.3).
func prefixOwner(p netip.Prefix) string {
	text := p.Addr().String() // RFC 5952: one "::" for the longest run of two and more
	sep := "."
	if p.Addr().Is6() {
		sep = ":"
		switch { // the run becomes a part of its own
		case text == "::":
			text = "zz"
		case strings.HasPrefix(text, "::"):
			text = "zz" + text[1:]
		case strings.HasSuffix(text, "::"):
			text = text[:len(text)-1] + "zz"
		default:
			text = strings.Replace(text, "::", ":zz:", 1)
		}
	}
	parts := strings.Split(text, sep)
	var b strings.Builder
	fmt.Fprintf(&b, "%d", p.Bits())
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteByte('.')
		b.WriteString(parts[i])
	}
	b.WriteString("." + ipZone)
	return b.String()
}

// triggers hands out what the zone has for a list, until yield returns false.
func triggers(list List, yield func(trigger) bool) error {
	last, more := dns.Name(""), true
	err := list.Names(func(name dns.Name, scope ledger.Scope) bool {
		if name != last { // else its own owner was there for the exact listing already
			more = yield(trigger{name: name})
		}
		if last = name; more && scope == ledger.ScopeSubtree {
			more = yield(trigger{name: name, below: true})
		}
		return more
	})
	if err != nil || !more {
		return err
	}
	list.Prefixes(func(p netip.Prefix) bool { return yield(trigger{prefix: p}) })
	return nil
}

// records hands out the zone's records between the SOA and its repetition, until yield
// returns false.
func (c *Content) records(list List, yield func(mdns.RR) bool) error {
	if !yield(c.ns()) {
		return nil
	}
	origin := "." + c.Origin.String()
	var buf [2]mdns.RR
	return triggers(list, func(t trigger) bool {
		if c.unfit(t) != "" {
			return true
		}
		for _, rr := range c.policy(buf[:0], t, t.owner()+origin) {
			if !yield(rr) {
				return false
			}
		}
		return true
	})
}
