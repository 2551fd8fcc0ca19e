package dnssec

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Config holds the operator's choices. The zero value is the present standard.
type Config struct {
	// SHA1 has signatures of RSA/SHA-1 (algorithms 5 and 7) verified. Without it a zone
	// signed by nothing else is insecure (RFC 9905 §2).
	SHA1 bool

	// Iterations is the highest NSEC3 iteration count that is computed, up to
	// MostIterations; 0 is MaxIterations.
	Iterations uint16

	// Skew is by how much the clock may be off: a signature counts as valid for so long
	// before its inception and after its expiration.
	Skew time.Duration

	// At is the time by which the validity of signatures is judged, in place of the
	// clock; the zero Time is none. How long things are kept still goes by the clock.
	// It is for replayed traffic, and for machines whose clock is known to be wrong.
	At time.Time

	// AnyTime accepts signatures at any time. It is for replayed traffic.
	AnyTime bool
}

// Validator verifies records. It may be used by any goroutine. It keeps nothing but a memo of
// what verifications yielded, which changes what is computed and never an outcome.
type Validator struct {
	sha1    bool
	anyTime bool
	rounds  uint16 // the most NSEC3 iterations
	at      moment // of all validity periods, where fixed is set
	fixed   bool
	skew    int64     // seconds
	scratch sync.Pool // of *scratch
	memo    *memo
}

// New makes a Validator.
func New(c Config) *Validator {
	v := &Validator{sha1: c.SHA1, anyTime: c.AnyTime, at: momentOf(c.At), fixed: !c.At.IsZero(), skew: int64(c.Skew / time.Second), memo: new(memo)}
	v.rounds = min(c.Iterations, MostIterations)
	if v.rounds == 0 {
		v.rounds = MaxIterations
	}
	v.scratch.New = func() any { return new(scratch) }
	return v
}

// moment is the time by which validity periods are judged at now.
func (v *Validator) moment(now time.Time) moment {
	if v.fixed {
		return v.at
	}
	return momentOf(now)
}

// Result is what the verification of one RRset yields.
type Result struct {
	Status Status

	// TTL in seconds is how long a secure RRset may be kept: its own TTL, capped by the
	// signature's, the original one and the time to expiration (RFC 4035 §5.3.3).
	TTL uint32

	// Encloser is set if the RRset was expanded from a wildcard: the name below which
	// the wildcard is. It came from no other place only if a denial of the name between
	// Encloser and the owner is proven too: ProveWildcard.
	Encloser dns.Name

	original uint32        // the signature's original TTL in seconds
	left     time.Duration // until the signature expires
	sig      *dns.RR       // the signature that verified
}

// VerifyRRset verifies an RRset by the keys of the zone that it is in (RFC 4035 §5.3).
// The records of rrset share owner, type and class IN; among sigs, records other than
// RRSIGs over the RRset are skipped, so a whole section may be given. The outcome is
// secure or bogus; indeterminate if keys is nil.
func (v *Validator) VerifyRRset(keys *Keys, rrset, sigs []dns.RR, now time.Time, w *Work) Result {
	if keys == nil {
		return Result{}
	}
	return v.verifySet(keys, rrset, sigs, v.moment(now), w)
}

func (v *Validator) verifySet(keys *Keys, rrset, sigs []dns.RR, now moment, w *Work) Result {
	if !isRRset(rrset) || !rrset[0].Name.IsSubdomainOf(keys.zone) {
		return Result{Status: Status{bogus, causeMalformed}}
	}
	owner := rrset[0].Name
	attempt := attempt{v: v, keys: keys, w: w, rrset: rrset, failure: causeSignatureMissing}
	defer attempt.release()
	labels := signedLabels(owner)
	for i := range sigs {
		if sigs[i].Type != dns.TypeRRSIG || sigs[i].Class != dns.ClassIN || !sigs[i].Name.Equal(owner) {
			continue
		}
		s, ok := parseRRSIG(sigs[i].Data)
		if !ok || s.covered != rrset[0].Type {
			continue
		}
		if c := v.admissible(&s, keys.zone, labels, now); c != causeNone {
			attempt.failure = max(attempt.failure, c)
			continue
		}
		if !attempt.try(&s) {
			if attempt.failure == causeWork {
				break
			}
			continue
		}
		r := Result{
			Status:   Status{outcome: secure},
			TTL:      v.ttl(rrset, &s, sigs[i].TTL, now),
			original: s.ttl,
			left:     time.Duration(-now.since(s.expiration)) * time.Second,
			sig:      &sigs[i],
		}
		if s.labels < labels {
			r.Encloser = owner.Suffix(s.labels)
		}
		return r
	}
	return Result{Status: Status{bogus, attempt.failure}}
}

// isRRset reports whether the records are a non-empty RRset of class IN.
func isRRset(set []dns.RR) bool {
	if len(set) == 0 || nameLength(set[0].Name) != len(set[0].Name) || set[0].Class != dns.ClassIN {
		return false
	}
	for i := 1; i < len(set); i++ {
		if set[i].Type != set[0].Type || set[i].Class != set[0].Class || !set[i].Name.Equal(set[0].Name) {
			return false
		}
	}
	return true
}

// admissible says why a signature cannot count for an RRset, before any cryptography;
// causeNone if it can (RFC 4035 §5.3.1).
func (v *Validator) admissible(s *rrsig, zone dns.Name, labels int, now moment) cause {
	switch {
	case !sameName(s.signer, zone):
		return causeForeignSigner
	case s.labels > labels || s.labels < zone.Labels():
		// Fewer labels than the zone's own name would be a wildcard above the zone.
		return causeMalformed
	case !v.supports(s.algorithm):
		return causeAlgorithm
	case v.anyTime:
		return causeNone
	}
	return s.check(now, v.skew)
}

// ttl is how long a verified RRset may be kept (RFC 4035 §5.3.3).
func (v *Validator) ttl(rrset []dns.RR, s *rrsig, sigTTL uint32, now moment) uint32 {
	ttl := min(s.ttl, sigTTL)
	for i := range rrset {
		ttl = min(ttl, rrset[i].TTL)
	}
	if v.anyTime {
		return ttl
	}
	left := v.skew - now.since(s.expiration)
	return uint32(max(0, min(int64(ttl), left)))
}

// attempt is the verification of one RRset.
type attempt struct {
	v       *Validator
	keys    *Keys
	w       *Work
	rrset   []dns.RR
	tried   int
	failure cause
	s       *scratch
}

// try verifies the RRset by one signature with every key that it may be made with.
func (a *attempt) try(s *rrsig) bool {
	colliding := 0
	var data []byte
	for i := range a.keys.keys {
		k := &a.keys.keys[i]
		if k.tag != s.tag || k.algorithm != s.algorithm {
			continue
		}
		colliding++
		if colliding > MaxCollidingKeys {
			return false
		}
		if a.tried == MaxVerificationsPerRRset || !a.w.verify() {
			a.failure = causeWork
			return false
		}
		a.tried++
		if data == nil {
			data = a.signedData(s)
		}
		if a.v.memo.verify(k, a.s, data, s.signature) {
			return true
		}
		a.w.fail()
		a.failure = max(a.failure, causeSignature)
	}
	if colliding == 0 {
		a.failure = max(a.failure, causeKeyMissing)
	}
	return false
}

func (a *attempt) release() {
	if a.s != nil {
		a.v.scratch.Put(a.s)
	}
}

// scratch is memory that verifications reuse.
type scratch struct {
	rdata  []byte   // the canonical RDATA of an RRset's records, one after the other
	spans  [][2]int // where in rdata each is, in canonical order once sorted
	signed []byte   // what the signature was made over
	memo   []byte   // what the memo knows a verification by
}

// signedData is what a signature over the RRset was made over (RFC 4034 §3.1.8.1, §6).
// It is valid until the attempt's next signature.
func (a *attempt) signedData(s *rrsig) []byte {
	if a.s == nil {
		a.s = a.v.scratch.Get().(*scratch)
		a.s.sort(a.rrset)
	}
	owner := a.rrset[0].Name
	wild := s.labels < signedLabels(owner)
	if wild {
		owner = owner.Suffix(s.labels)
	}
	out := append(a.s.signed[:0], s.fixed...)
	out = appendLower(out, s.signer)
	for i, span := range a.s.spans {
		rdata := a.s.rdata[span[0]:span[1]]
		if i > 0 {
			before := a.s.spans[i-1]
			if bytes.Equal(rdata, a.s.rdata[before[0]:before[1]]) {
				continue // RFC 4034 §6.3: a record counts once
			}
		}
		if wild {
			out = append(out, 1, '*')
		}
		out = appendLower(out, owner)
		out = binary.BigEndian.AppendUint16(out, uint16(a.rrset[0].Type))
		out = binary.BigEndian.AppendUint16(out, uint16(a.rrset[0].Class))
		out = binary.BigEndian.AppendUint32(out, s.ttl)
		out = binary.BigEndian.AppendUint16(out, uint16(len(rdata)))
		out = append(out, rdata...)
	}
	a.s.signed = out
	return out
}

// sort puts the canonical RDATA of the records into canonical order (RFC 4034 §6.3).
func (s *scratch) sort(rrset []dns.RR) {
	s.rdata, s.spans = s.rdata[:0], s.spans[:0]
	for i := range rrset {
		start := len(s.rdata)
		s.rdata = dns.AppendCanonicalData(s.rdata, rrset[i].Type, rrset[i].Data)
		s.spans = append(s.spans, [2]int{start, len(s.rdata)})
	}
	if len(s.spans) > 1 {
		slices.SortFunc(s.spans, func(a, b [2]int) int {
			return bytes.Compare(s.rdata[a[0]:a[1]], s.rdata[b[0]:b[1]])
		})
	}
}

// appendLower appends a name in ASCII lower case.
func appendLower[S ~string | ~[]byte](out []byte, name S) []byte {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		out = append(out, c)
	}
	return out
}
