package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Sizes of a map, from which all others follow.
const (
	mapPageFill   = 1024                    // records of a page, on average at most
	mapBucketFill = 16                      // records of a bucket, on average at most
	maxPageBits   = 8 * groupOctets         // pages are told apart by their groups
	maxBucketBits = 32                      // more than the records of a page can need
	keyOctets     = 16                      // of a record's key
	recordOctets  = keyOctets + 8           // of a record: the key and the entry number
	maxMapHead    = 512                     // octets of a head: five numbers, a hash and MaxSalts salts
	maxMapPage    = 256 << 20               // octets of a page: ten million names of one group
	mapMagic      = "shoji map 1"           // a head's first line
	mapFolder     = "map/"                  // below which heads and pages are
	maxMapCount   = MaxNumber / mapPageFill // so that no size overflows
)

// MapKey is a subject's place in a map: of its commitment, made with the zero salt for what
// is told, octets 2 to 15 and then the two of the group.
type MapKey [keyOctets]byte

func mapKeyOf(commitment Digest) MapKey {
	var k MapKey
	copy(k[copy(k[:], commitment[groupOctets:keyOctets]):], commitment[:groupOctets])
	return k
}

// nameKeyOf is the key of a listing of name, told (the zero salt) or committed to.
func nameKeyOf(salt Salt, scope Scope, name string) MapKey {
	return mapKeyOf(Commit(salt, scope, name))
}

func prefixKeyOf(p netip.Prefix) MapKey {
	d := Blind(Salt{}, ScopePrefix, p.String())
	g := groupHash(prefixGroup(p).String())
	copy(d[:], g[:])
	return mapKeyOf(d)
}

// MapHead is what a map's root commits to. Its text has a line for each member, in this
// order, and its SHA-256 is the root.
type MapHead struct {
	Size  uint64    // entries of the log that the map is of
	Count uint64    // listings
	Wide  uint64    // listings of a name of one label, or of a prefix that is shorter than its group
	Salts []Salt    // of commitments, ascending
	Tree  tlog.Hash // root of the tree of pages
}

// pageBits is how many bits of a key say in which page it is.
func (h *MapHead) pageBits() int {
	if h.Count <= mapPageFill {
		return 0
	}
	return min(bits.Len64((h.Count-1)/mapPageFill), maxPageBits)
}

// Pages is how many pages the map has: a power of two.
func (h *MapHead) Pages() int { return 1 << h.pageBits() }

// Page is the number of the page in which a key would be.
func (h *MapHead) Page(k MapKey) int {
	return int(binary.BigEndian.Uint16(k[keyOctets-groupOctets:])) >> (maxPageBits - h.pageBits())
}

// Text is the head as it is served.
func (h *MapHead) Text() []byte {
	b := fmt.Appendf(nil, "%s\nsize %d\ncount %d\npages %d\nwide %d\n", mapMagic, h.Size, h.Count, h.Pages(), h.Wide)
	for _, s := range h.Salts {
		b = fmt.Appendf(b, "salt %x\n", s[:])
	}
	return fmt.Appendf(b, "tree %x\n", h.Tree[:])
}

// Root is the map's root, as an epoch entry has it.
func (h *MapHead) Root() Digest { return digestOf(h.Text()) }

// ParseMapHead reads the one text of a head.
func ParseMapHead(b []byte) (*MapHead, error) {
	if len(b) > maxMapHead {
		return nil, fmt.Errorf("a map's head of %d octets; the longest is %d", len(b), maxMapHead)
	}
	h := &MapHead{}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 7 || lines[0] != mapMagic {
		return nil, fmt.Errorf("a map's head begins with %q and has seven lines or more", mapMagic)
	}
	for i, to := range []*uint64{&h.Size, &h.Count, nil, &h.Wide} {
		name := []string{"size", "count", "pages", "wide"}[i]
		n, err := strconv.ParseUint(strings.TrimPrefix(lines[1+i], name+" "), 10, 53)
		if err != nil {
			return nil, fmt.Errorf("%q is not the number %q of a map's head", lines[1+i], name)
		}
		if to != nil {
			*to = n
		}
	}
	for _, line := range lines[5 : len(lines)-2] {
		var s Salt
		if text, ok := strings.CutPrefix(line, "salt "); !ok || !isHex([]byte(text), 2*len(s)) || len(h.Salts) == MaxSalts {
			return nil, fmt.Errorf("%q is not one of up to %d salts of a map's head", line, MaxSalts)
		}
		hex.Decode(s[:], []byte(line[len("salt "):]))
		h.Salts = append(h.Salts, s)
	}
	tree, err := ParseDigest(strings.TrimPrefix(lines[len(lines)-2], "tree "))
	if err != nil {
		return nil, fmt.Errorf("the tree of a map's head: %w", err)
	}
	h.Tree = tlog.Hash(tree)
	return h, h.check(b)
}

// check says what is wrong with a head that was read from b.
func (h *MapHead) check(b []byte) error {
	switch {
	case !bytes.Equal(h.Text(), b):
		return errors.New("the map's head is not in its one form: numbers without leading zeros, and as many pages as its count asks for")
	case h.Count > maxMapCount:
		return fmt.Errorf("a map of %d listings; the largest has %d", h.Count, uint64(maxMapCount))
	case h.Wide > h.Count:
		return fmt.Errorf("a map of %d listings, %d of them wide", h.Count, h.Wide)
	}
	for i, s := range h.Salts {
		if s.IsZero() || i > 0 && bytes.Compare(h.Salts[i-1][:], s[:]) >= 0 {
			return errors.New("the salts of the map's head do not ascend from above zero")
		}
	}
	return nil
}

// Probe is one subject whose listing would answer a question.
type Probe struct {
	Key     MapKey
	Scope   Scope
	Subject string // a name or a prefix
	Salt    Salt   // of a commitment; zero for what is told
}

// NameProbes are the listings that would filter a name, the one that decides first. Where
// the map has no wide ones, all of them are in one page. The name is in the form that
// CheckName asks for.
func (h *MapHead) NameProbes(name string) ([]Probe, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	out := h.probes(nil, ScopeExact, name)
	for suffix := name; suffix != ""; suffix = parentName(suffix) {
		out = h.probes(out, ScopeSubtree, suffix)
	}
	return out, nil
}

// probes appends the told and the committed listing of one subject.
func (h *MapHead) probes(out []Probe, scope Scope, name string) []Probe {
	if parentName(name) != "" || h.Wide > 0 {
		out = append(out, Probe{nameKeyOf(Salt{}, scope, name), scope, name, Salt{}})
	}
	if !CanCommit(name) {
		return out
	}
	for _, s := range h.Salts {
		out = append(out, Probe{nameKeyOf(s, scope, name), scope, name, s})
	}
	return out
}

// parentName is name without its first label; "" for a name of one.
func parentName(name string) string {
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			return name[i+1:]
		}
	}
	return ""
}

// PrefixProbes are the listings that would filter all addresses of a prefix, such as the /32 or
// /128 that is one address, the one that decides first.
func (h *MapHead) PrefixProbes(p netip.Prefix) []Probe {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	var out []Probe
	for n := p.Bits(); n >= 0; n-- {
		wider := netip.PrefixFrom(p.Addr(), n).Masked()
		if prefixGroup(wider).Bits() > 0 || h.Wide > 0 {
			out = append(out, Probe{prefixKeyOf(wider), ScopePrefix, wider.String(), Salt{}})
		}
	}
	return out
}

// ProbePages are the pages in which probes are, ascending.
func (h *MapHead) ProbePages(probes []Probe) []int {
	var out []int
	for i := range probes {
		out = append(out, h.Page(probes[i].Key))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// MapHeadPath is where the head of the map with a root is, below the log's address.
func MapHeadPath(root Digest) string { return mapFolder + root.String() + "/head" }

// MapPagePath is where a page of the map with a root is.
func MapPagePath(root Digest, page int) string {
	return fmt.Sprintf("%s%s/%d", mapFolder, root, page)
}

// ParseMapPath reads the path of a head (page -1) or page; it is not ok for any other.
func ParseMapPath(path string) (root Digest, page int, ok bool) {
	rest, ok := strings.CutPrefix(path, mapFolder)
	text, name, both := strings.Cut(rest, "/")
	root, err := ParseDigest(text)
	if !ok || !both || err != nil {
		return Digest{}, 0, false
	}
	if name == "head" {
		return root, -1, true
	}
	page, ok = wholeNumber(name, 1<<maxPageBits-1)
	return root, page, ok && MapPagePath(root, page) == path
}

// ReadMapHead reads the head of the map with a root, and verifies that it is.
func ReadMapHead(ctx context.Context, src Source, root Digest) (*MapHead, error) {
	path := MapHeadPath(root)
	b, err := src.Read(ctx, path, maxMapHead)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if got := digestOf(b); got != root {
		return nil, damaged(path, "its digest is %s", got)
	}
	h, err := ParseMapHead(b)
	if err != nil {
		return nil, damaged(path, "%w", err)
	}
	return h, nil
}

// ReadMapPage reads a page of the map with a root, and verifies that it is.
func ReadMapPage(ctx context.Context, src Source, h *MapHead, page int) (*MapPage, error) {
	path := MapPagePath(h.Root(), page)
	limit := min(int64(h.pageBits()*tlog.HashSize)+int64(h.Count)*recordOctets, maxMapPage)
	b, err := src.Read(ctx, path, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	p, err := h.OpenPage(page, b)
	if err != nil {
		return nil, damaged(path, "%w", err)
	}
	return p, nil
}
