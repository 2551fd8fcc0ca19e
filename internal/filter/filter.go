// Package filter is the compiled list: which names and addresses are listed, in
// a form that answers in tens of nanoseconds from memory that the operating
// system shares, drops and reloads as it likes.
//
// [Compile] writes a list from a [ledger.State], [Merge] the same one from an older
// list and what the log says since, [Open] maps it, [List.Match] and
// [List.Judge] ask it, and [Live] is the pointer that a running server reads.
// The file is a pure function of the state: two machines that followed the same
// log build the same octets, and its SHA-256 is in the log's epoch entry. [Join] has several
// lists, of several logs, judge as one.
//
// # What is matched
//
// A listing is a name alone (exact), a name with everything below it (subtree) or
// an address prefix. The most specific listing decides: the exact name before
// its subtree, a deeper subtree before a shallower one, a longer prefix before a
// shorter one. Nothing is matched on a fingerprint alone: the filter and the
// slots below only say where to look for the name.
//
// # The file, versions 1 and 2
//
// All numbers are little-endian. The header is 256 octets:
//
//	  0   8  "shojilst"
//	  8   4  version: 1 without commitments, whose region then is zero; 2 with them
//	 12   4  length of the header: 256
//	 16   8  epoch: entries of the log that the list was compiled from
//	 24  32  root hash of the log's Merkle tree of that size (RFC 6962)
//	 56   8  attempt: see Seed
//	 64   8  seed
//	 72   8  multiplier
//	 80   8  length of the file
//	 88   8  records: names listed, exact and subtree counted apart
//	 96   8  prefixes listed
//	104   8  depths at which any name is listed: bit d for d labels, bit 63 for 63 and more
//	112   8  depths at which a subtree is listed
//	120   4  E: bits of an entry number, 1 to 53
//	124   4  B: bits of a block's number in a slot, 0 to 26
//	128 112  seven regions, an offset and a length of 8 octets each:
//	         filter, directory, slots, blocks, prefixes, names, commitments
//	240   8  zero
//	248   8  the first 8 octets of the SHA-256 of the 248 before
//
// Regions follow in that order, each at the next multiple of 64; what is between
// them is zero. A query of a name that is not listed reads the filter, and
// hardly ever more.
//
// Filter: 64-bit words, one for every 6.4 records. A record sets four bits of one
// word: word hi(h·words), bits h[0:6], h[6:12], h[12:18] and h[18:24] of its
// hash h, where hi is the upper half of the 128-bit product.
//
// Directory: one 32-bit number for each bucket, and one more: where its slots
// begin. There is a bucket for every 16 records; a record's is hi(h·buckets).
// A bucket has at most 255 slots.
//
// Slots: 32 bits for each record, ascending in a bucket: bits 0 to B-1 the block
// that the name is in, bit B set for a subtree, and above that the fingerprint:
// the lowest min(16, 31-B) bits of h[24:40].
//
// Blocks: one 32-bit number for each 16 records: where in the names region the
// block begins, in octets.
//
// Prefixes: a 32-bit number of groups and one of zero; then for each group 16
// octets: family (4 or 6) in 1, prefix length in 1, zero in 2, count in 4, and
// the offset of its keys in the region in 8. Groups are ordered by family, then
// from the longest prefix to the shortest. A group's keys ascend: 4 octets for
// IPv4, two numbers of 8 (upper half first) for IPv6; its entry numbers of 8
// octets follow in the same order. 8-octet numbers are aligned by nothing.
//
// Names: blocks of up to 16 records in ascending order. A record's key is its
// labels from the top down with a zero octet between them, in lower case; in a label the
// octet 0 is written 1 1 and the octet 1 is written 1 2. Keys ascend as octet
// strings, which is the canonical order of RFC 4034 §6.1; a name that is listed
// both ways has its exact record first. A block is a string of bits, the lowest
// bit of an octet first, filled up with zeros to a whole octet. A record in it:
//
//	1 bit   set for a subtree
//	5 bits  octets that the key shares with the record before, 31 at most; 0 for
//	        a block's first
//	…       the key's other octets and an end mark, in the code of code.go
//	E bits  the entry number
//
// Eight zero octets end the region.
//
// Commitments, the listings whose names are not told: the number of salts in 4, D in 4, the number of
// records in 8; the salts of 16 octets, ascending; 2^D + 1 numbers of 4, where each bucket's records
// begin; and records of 40, the commitment in 32, and a number of 8 whose bits 0 to 52 are the entry
// number, 54 and 55 which salt, and 63 set for a subtree. Records ascend by the commitment's last 8
// octets, taken with the highest first, whose highest D bits are the bucket. D is the bits of an eighth
// of the number of records.
//
// # Seed
//
// A name's hash is keyed, so that nobody can list names, before the log commits to
// them, that crowd into one bucket. Seed and multiplier are the first two
// 8-octet numbers of SHA-256("shoji list 1" ‖ root hash ‖ attempt), the
// multiplier with its lowest bit set; attempt is the first of 0, 1, … that keeps
// every bucket within its limit. The hash is in hash.go.
//
// # Damage
//
// Open checks the header and that the regions lie in the file; every offset
// behind that is checked when it is used. A damaged file can miss a listing or,
// where the damage looks like a name, name a wrong entry; it cannot make a
// lookup panic or read elsewhere. The digest is what tells a damaged file:
// check it with [Sum] when a file comes from elsewhere. A mapped file must never be
// changed in place (the operating system kills a process that reads behind the
// new end): write another and rename it.
//
// # Limits and known faults
//
// 2³² octets of keys (about 200 million names), 2²⁶ blocks, entry numbers below 2⁵³.
// Compile holds 60 to 90 octets a name in memory, Merge 40 of the list and 60 to 90
// a change; the hash is keyed anew with every epoch, so that Merge writes the
// whole file too. A list with commitments costs a SHA-256 or two for each label of a name
// and each of its salts (ledger.MaxSalts), some 0.5 µs each, where a name is not known to pass already.
package filter

import (
	"encoding/hex"
	"net/netip"
	"runtime"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// Rule is which kind of listing decided.
type Rule uint8

// The rules.
const (
	Exact   Rule = 1 + iota // the name itself is listed
	Subtree                 // the name or one above it is listed with all below
	Prefix                  // an address is in a listed prefix
)

func (r Rule) String() string {
	switch r {
	case Exact:
		return "exact"
	case Subtree:
		return "subtree"
	case Prefix:
		return "prefix"
	}
	return "none"
}

// Verdict is the listing that decided. It is comparable and has no pointers.
type Verdict struct {
	Entry uint64 // number of the entry in the log
	Rule  Rule
	Size  uint8 // labels of the listed name, or bits of the listed prefix
	Log   uint8 // which list of a joined one decided, from 0; see Join
}

// Listed is the listed name of a verdict on name.
func (v Verdict) Listed(name dns.Name) dns.Name { return name.Suffix(int(v.Size)) }

// ListedPrefix is the listed prefix of a verdict on a.
func (v Verdict) ListedPrefix(a netip.Addr) netip.Prefix {
	p, err := a.Unmap().Prefix(int(v.Size))
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Digest is the SHA-256 of a compiled list.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// List is a compiled list. It does not change, any number of goroutines may ask
// it, and its memory goes when nobody holds it any more. The zero List is empty.
type List struct {
	header
	data   []byte // the file
	filter []byte
	dir    []byte
	slots  []byte
	blocks []byte
	prefix []byte
	names  []byte
	groups []group
	sealed sealed
	joined []*List // of Join, and nothing else then
}

// Epoch is the number of log entries that the list was compiled from.
func (l *List) Epoch() uint64 { return l.epoch }

// RootHash is the root of the log's Merkle tree at Epoch.
func (l *List) RootHash() [32]byte { return l.root }

// Count is the number of listings: names by scope, prefixes, and commitments.
func (l *List) Count() uint64 {
	n := l.records + l.prefixes + l.sealed.count()
	for _, of := range l.joined {
		n += of.Count()
	}
	return n
}

// Bytes is the length of the file.
func (l *List) Bytes() int {
	n := len(l.data)
	for _, of := range l.joined {
		n += of.Bytes()
	}
	return n
}

// Match finds the most specific listing of name, which is in wire form and
// lower case. It does not allocate. Octets that are no name match nothing.
func (l *List) Match(name []byte) (Verdict, bool) {
	if l.nameDepths == 0 && len(l.sealed.salts) == 0 {
		return l.matchJoined(name)
	}
	var starts [maxLabels]uint8
	n, at := 0, 0
	for {
		if at >= len(name) {
			return Verdict{}, false
		}
		c := int(name[at])
		if c == 0 {
			break
		}
		if c > maxLabel || n == maxLabels || at > maxWire {
			return Verdict{}, false
		}
		starts[n] = uint8(at)
		n++
		at += c + 1
	}
	h, depths := l.seed, l.subtreeDepths
	if n == 0 {
		depths = l.nameDepths
	}
	hits := depths & 1
	for k := n - 1; k >= 0; k-- {
		// at is where the label to the right begins: the end of this one.
		start := int(starts[k])
		h = hashLabel(h, l.mult, name[start+1:at])
		at = start
		if k == 0 {
			depths = l.nameDepths
		}
		if depth := min(n-k, topDepth); depths>>depth&1 != 0 {
			w := l.word(h)
			if mask := filterMask(h); w&mask == mask {
				hits |= 1 << depth
			}
		}
	}
	if len(l.sealed.salts) > 0 {
		return l.matchSealed(name, &starts, n, hits)
	}
	if hits == 0 {
		runtime.KeepAlive(l)
		return Verdict{}, false
	}
	return l.resolve(name, &starts, n, hits)
}

// resolve looks the suffixes of name up for which the filter had a hit, the
// longest first.
//
//go:noinline
func (l *List) resolve(name []byte, starts *[maxLabels]uint8, n int, hits uint64) (Verdict, bool) {
	defer runtime.KeepAlive(l)
	for depth := n; depth >= 0; depth-- {
		if hits>>min(depth, topDepth)&1 == 0 {
			continue
		}
		var key keyBuf
		h := l.seed
		for k := n - 1; k >= n-depth; k-- {
			start := int(starts[k])
			label := name[start+1 : start+1+int(name[start])]
			h = hashLabel(h, l.mult, label)
			key.push(label)
		}
		if v, ok := l.find(h, key.bytes(), depth == n); ok {
			v.Size = uint8(depth)
			return v, true
		}
	}
	return Verdict{}, false
}

// MatchAddr finds the longest listed prefix that a is in. An IPv4-mapped IPv6
// address is taken for the IPv4 address that it is.
func (l *List) MatchAddr(a netip.Addr) (Verdict, bool) {
	if len(l.groups) == 0 {
		return l.matchAddrJoined(a)
	}
	v, ok := l.matchAddr(a.Unmap())
	runtime.KeepAlive(l)
	return v, ok
}

// Subject is what in an answer was listed: a name or an address of it.
type Subject struct {
	Name dns.Name   // the target as the answer has it; "" for an address
	Addr netip.Addr // the zero Addr for a name
}

// Judge finds the first listed thing that an answer leads to: the targets of its
// CNAME, DNAME, SVCB and HTTPS records in order, then its addresses.
func (l *List) Judge(a *answer.Answer) (Verdict, bool) {
	v, _, ok := l.Explain(a)
	return v, ok
}

// Explain is Judge, and says what the verdict is on.
func (l *List) Explain(a *answer.Answer) (Verdict, Subject, bool) {
	if l.nameDepths != 0 || len(l.sealed.salts) > 0 || len(l.joined) > 0 {
		for target := range a.Targets() {
			if v, ok := l.MatchName(target); ok {
				return v, Subject{Name: target}, true
			}
		}
	}
	if len(l.groups) != 0 || len(l.joined) > 0 {
		for addr := range a.Addrs() {
			if v, ok := l.MatchAddr(addr); ok {
				return v, Subject{Addr: addr}, true
			}
		}
	}
	return Verdict{}, Subject{}, false
}

// MatchName is Match for a name in any case.
func (l *List) MatchName(n dns.Name) (Verdict, bool) {
	var buf [maxWire + 1]byte
	if len(n) > len(buf) {
		return Verdict{}, false
	}
	lower := buf[:copy(buf[:], n)]
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return l.Match(lower)
}
