package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// Kind says what an entry is.
type Kind string

// The kinds of entries.
const (
	KindList   Kind = "list"   // a subject comes onto the list
	KindDelist Kind = "delist" // a subject leaves the list
	KindPolicy Kind = "policy" // a policy comes into force
	KindSource Kind = "source" // a source of evidence is declared, changed or retired
	KindCase   Kind = "case"   // a case opens, moves or ends
	KindEpoch  Kind = "epoch"  // a compiled list is published; it is what comes into force
)

// Scope says how far a listing reaches.
type Scope string

// The scopes of a subject.
const (
	ScopeExact   Scope = "exact"   // the name alone
	ScopeSubtree Scope = "subtree" // the name and every name below it
	ScopePrefix  Scope = "prefix"  // the addresses of a prefix
)

// Limits of one entry. MaxEntry is the longest entry that a tile log's bundle
// can hold (a 16-bit length, https://c2sp.org/tlog-tiles); the others keep a
// reader's work per entry bounded.
const (
	MaxEntry    = 1<<16 - 1 // octets of an entry
	MaxEvidence = 64        // pieces of evidence in one entry
	MaxClaims   = 32        // claims of a source
	MaxToken    = 128       // octets of a token
	MaxText     = 2048      // octets of a title, note, location, licence, family or reference
	MaxLayout   = 1<<32 - 1 // the largest version of a compiled list's format
	MaxNumber   = 1<<53 - 1 // the largest number that JSON carries exactly (RFC 7493 §2.2)
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String is d in lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d is absent.
func (d Digest) IsZero() bool { return d == Digest{} }

// ParseDigest reads 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if !isHex([]byte(s), 2*len(d)) {
		return d, fmt.Errorf("%q is not a digest of %d lower-case hexadecimal digits", s, 2*len(d))
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err
}

// digestOf is b's SHA-256.
func digestOf(b []byte) Digest { return sha256.Sum256(b) }

// Evidence is one source's claim about a subject.
type Evidence struct {
	Source    string    // the source's identity, as its source entry gives it
	Reference string    // where the claim can be read; may be empty
	Kind      string    // what is claimed: "c2", "phishing", …
	Family    string    // of malware; may be empty
	First     time.Time // first seen, UTC, whole seconds; zero where unknown
	Last      time.Time // last seen, UTC, whole seconds; zero where unknown
}

// Entry is one entry of the log. A kind uses the fields that the package
// comment gives it; the others stay zero.
type Entry struct {
	Kind Kind
	Time time.Time // UTC, whole seconds

	// The subject of a list, delist or case entry.
	Scope      Scope
	Name       string       // presentation form, lower case, no trailing dot; "" = none
	Prefix     netip.Prefix // the zero value = none
	Commitment Digest       // zero = none
	Salt       Salt         // of Commitment

	Clause   string
	Policy   Digest
	Evidence []Evidence
	Cause    string
	Case     string
	Status   string
	Note     string
	Listing  *uint64 // case: the entry it is about; nil = none

	// A policy.
	Version  string
	Title    string // a source has one too
	Document string

	// A source.
	Source   string
	Group    string
	Claims   []string
	Location string
	License  string
	Format   string
	Interval uint64 // seconds; 0 = none

	// An epoch.
	Size   uint64 // entries of the log that the list was compiled from
	Digest Digest // of the compiled list
	Bytes  uint64 // length of the compiled list; a policy's document has one too
	Count  uint64 // listings in the compiled list
	Layout uint32 // version of the format of the compiled list
	Map    Digest // root of a verifiable map over the list; zero = none
}

// Parse reads one entry and refuses everything that is not an entry's only
// encoding. The Entry keeps no reference to b.
func Parse(b []byte) (*Entry, error) {
	var r record
	if err := r.read(b); err != nil {
		return nil, err
	}
	return r.entry(), nil
}

// Marshal encodes e in its one canonical form, or says what makes it no entry.
// What Marshal yields, Parse reads back.
func (e *Entry) Marshal() ([]byte, error) {
	return e.AppendTo(nil)
}

// AppendTo appends e's encoding to out; see Marshal. On an error out is returned as it was.
func (e *Entry) AppendTo(out []byte) ([]byte, error) {
	b, err := e.encode(out)
	if err != nil {
		return out, err
	}
	var r record
	if err := r.read(b[len(out):]); err != nil {
		return out, err
	}
	return b, nil
}
