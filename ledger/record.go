package ledger

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// record is an entry that was read and checked, its text still where it was
// read. A replay reads millions of entries with one record.
type record struct {
	has      set
	text     [members][]byte
	number   [members]uint64
	claims   [][]byte
	evidence []claim
	kind     Kind
	scope    Scope
	prefix   netip.Prefix
}

// claim is one piece of evidence as it was read; nil members are absent.
type claim struct {
	family, first, kind, last, reference, source []byte
}

// read fills r from one entry's encoding.
func (r *record) read(b []byte) error {
	if len(b) > MaxEntry {
		return fmt.Errorf("an entry of %d octets; the longest is %d", len(b), MaxEntry)
	}
	if err := r.scan(b); err != nil {
		return err
	}
	return r.check()
}

// scan reads the object: known members only, each once, in order.
func (r *record) scan(b []byte) error {
	r.has, r.claims, r.evidence, r.scope = 0, r.claims[:0], r.evidence[:0], ""
	s := scanner{b: b}
	if err := s.want('{'); err != nil {
		return err
	}
	next := member(0) // the first member that may follow
	for more := s.peek() != '}'; more; {
		at := s.i
		name, err := s.key()
		if err != nil {
			return err
		}
		m, ok := memberOf(name)
		switch {
		case !ok:
			s.i = at
			return s.fail("unknown member %q", name)
		case r.has.has(m):
			s.i = at
			return s.fail("member %q is there twice", name)
		case m < next:
			s.i = at
			return s.fail("member %q is out of order: not canonical JSON (RFC 8785)", name)
		}
		r.has, next = r.has|1<<m, m+1
		if err := r.value(&s, m); err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
		if more, err = s.more('}'); err != nil {
			return err
		}
	}
	if r.has == 0 {
		return s.fail("an object without members")
	}
	if s.i != len(b) {
		return s.fail("something follows the entry")
	}
	return nil
}

func (r *record) value(s *scanner, m member) (err error) {
	switch m {
	case mBytes, mCount, mInterval, mLayout, mListing, mSize:
		r.number[m], err = s.number()
	case mClaims:
		err = r.readClaims(s)
	case mEvidence:
		err = r.readEvidence(s)
	default:
		r.text[m], err = s.text()
	}
	return err
}

func (r *record) readClaims(s *scanner) error {
	if err := s.want('['); err != nil {
		return err
	}
	for more := true; more; {
		if len(r.claims) == MaxClaims {
			return s.fail("more than %d claims", MaxClaims)
		}
		c, err := s.text()
		if err != nil {
			return err
		}
		if n := len(r.claims); n > 0 && bytes.Compare(r.claims[n-1], c) >= 0 {
			return s.fail("claim %q is there twice or out of order", c)
		}
		r.claims = append(r.claims, c)
		if more, err = s.more(']'); err != nil {
			return err
		}
	}
	return nil
}

func (r *record) readEvidence(s *scanner) error {
	if err := s.want('['); err != nil {
		return err
	}
	for more := true; more; {
		if len(r.evidence) == MaxEvidence {
			return s.fail("more than %d pieces of evidence", MaxEvidence)
		}
		c, err := readClaim(s)
		if err != nil {
			return fmt.Errorf("number %d: %w", len(r.evidence), err)
		}
		r.evidence = append(r.evidence, c)
		if more, err = s.more(']'); err != nil {
			return err
		}
	}
	return nil
}

// readClaim reads one object of the evidence.
func readClaim(s *scanner) (claim, error) {
	var c claim
	if err := s.want('{'); err != nil {
		return c, err
	}
	last := ""
	for more := true; more; {
		at := s.i
		name, err := s.key()
		if err != nil {
			return c, err
		}
		to, known := c.field(name)
		switch {
		case to == nil:
			s.i = at
			return c, s.fail("unknown member %q", name)
		case *to != nil:
			s.i = at
			return c, s.fail("member %q is there twice", name)
		case known < last:
			s.i = at
			return c, s.fail("member %q is out of order: not canonical JSON (RFC 8785)", name)
		}
		if *to, err = s.text(); err != nil {
			return c, fmt.Errorf("member %q: %w", name, err)
		}
		last = known
		if more, err = s.more('}'); err != nil {
			return c, err
		}
	}
	return c, nil
}

// field is the place of the named member and its name, nil for an unknown one.
func (c *claim) field(name []byte) (*[]byte, string) {
	switch string(name) {
	case "family":
		return &c.family, "family"
	case "first":
		return &c.first, "first"
	case "kind":
		return &c.kind, "kind"
	case "last":
		return &c.last, "last"
	case "reference":
		return &c.reference, "reference"
	case "source":
		return &c.source, "source"
	}
	return nil, ""
}

// entry is the record as an Entry of its own memory.
func (r *record) entry() *Entry {
	e := &Entry{
		Kind: r.kind, Scope: r.scope,
		Name: r.string(mName), Clause: r.string(mClause), Cause: r.string(mCause),
		Case: r.string(mCase), Status: r.string(mStatus), Note: r.string(mNote),
		Version: r.string(mVersion), Title: r.string(mTitle), Document: r.string(mDocument),
		Source: r.string(mSource), Group: r.string(mGroup), Location: r.string(mLocation),
		License: r.string(mLicense), Format: r.string(mFormat),
		Policy: r.digest(mPolicy), Commitment: r.digest(mCommitment), Digest: r.digest(mDigest), Map: r.digest(mMap),
		Interval: r.whole(mInterval), Size: r.whole(mSize), Bytes: r.whole(mBytes), Count: r.whole(mCount), Layout: uint32(r.whole(mLayout)),
	}
	e.Time, _ = parseTime(r.text[mTime])
	if r.has.has(mPrefix) {
		e.Prefix = r.prefix
	}
	if r.has.has(mSalt) {
		hex.Decode(e.Salt[:], r.text[mSalt])
	}
	if r.has.has(mListing) {
		n := r.number[mListing]
		e.Listing = &n
	}
	for _, c := range r.claims {
		e.Claims = append(e.Claims, string(c))
	}
	if len(r.evidence) > 0 {
		e.Evidence = make([]Evidence, len(r.evidence))
	}
	for i := range r.evidence {
		e.Evidence[i] = r.evidence[i].evidence()
	}
	return e
}

func (c *claim) evidence() Evidence {
	ev := Evidence{
		Source: string(c.source), Reference: string(c.reference),
		Kind: string(c.kind), Family: string(c.family),
	}
	if c.first != nil {
		ev.First, _ = parseTime(c.first)
	}
	if c.last != nil {
		ev.Last, _ = parseTime(c.last)
	}
	return ev
}

func (r *record) string(m member) string {
	if !r.has.has(m) {
		return ""
	}
	return string(r.text[m])
}

func (r *record) whole(m member) uint64 {
	if !r.has.has(m) {
		return 0
	}
	return r.number[m]
}

func (r *record) digest(m member) (d Digest) {
	if r.has.has(m) {
		hex.Decode(d[:], r.text[m])
	}
	return d
}

// parseTime reads a time in the one way that an entry writes it.
func parseTime(b []byte) (time.Time, error) {
	var t time.Time
	if len(b) != len(timeLayout) || b[len(b)-1] != 'Z' {
		return t, fmt.Errorf("%q is not a time as %s", b, timeLayout)
	}
	if err := t.UnmarshalText(b); err != nil {
		return t, fmt.Errorf("%q is not a time as %s", b, timeLayout)
	}
	if t.Unix() < 0 {
		return t, fmt.Errorf("%q is before 1970", b)
	}
	return t, nil
}
