package ledger

import (
	"context"
	"fmt"
	"net/netip"
)

// MapAnswer is what a map says about a name or prefix, with proofs.
type MapAnswer struct {
	Head   *MapHead
	Pages  []int // that were read: all that was shown to whoever serves them
	Probes []ProbeAnswer
}

// ProbeAnswer is what a map says about one subject.
type ProbeAnswer struct {
	Probe
	Listed bool
	Entry  uint64 // that lists it
	Proof  []byte // for MapHead.CheckMapProof
}

// Listing is the listing that decides; nil where there is none.
func (a *MapAnswer) Listing() *ProbeAnswer {
	for i := range a.Probes {
		if a.Probes[i].Listed {
			return &a.Probes[i]
		}
	}
	return nil
}

// LookupName asks the map of an epoch whether a name is listed, in the form that CheckName
// asks for. The epoch has a map, and src has it; all that it yields is verified.
func LookupName(ctx context.Context, src Source, epoch Epoch, name string) (*MapAnswer, error) {
	return lookup(ctx, src, epoch, func(h *MapHead) ([]Probe, error) { return h.NameProbes(name) })
}

// LookupPrefixes asks the map of an epoch whether the addresses of a prefix are listed; the
// prefix of one address has all its bits.
func LookupPrefixes(ctx context.Context, src Source, epoch Epoch, p netip.Prefix) (*MapAnswer, error) {
	return lookup(ctx, src, epoch, func(h *MapHead) ([]Probe, error) { return h.PrefixProbes(p), nil })
}

func lookup(ctx context.Context, src Source, epoch Epoch, probes func(*MapHead) ([]Probe, error)) (*MapAnswer, error) {
	h, err := ReadMapHead(ctx, src, epoch.Map)
	if err != nil {
		return nil, err
	}
	if h.Size != epoch.Size || h.Count != epoch.Count {
		return nil, &EntryError{epoch.Entry, fmt.Errorf("an epoch of %d entries and %d listings, whose map is of %d entries and %d listings", epoch.Size, epoch.Count, h.Size, h.Count)}
	}
	asked, err := probes(h)
	if err != nil {
		return nil, err
	}
	a := &MapAnswer{Head: h, Pages: h.ProbePages(asked)}
	pages := make(map[int]*MapPage, len(a.Pages))
	for _, n := range a.Pages {
		if pages[n], err = ReadMapPage(ctx, src, h, n); err != nil {
			return nil, err
		}
	}
	for _, p := range asked {
		page := pages[h.Page(p.Key)]
		answer := ProbeAnswer{Probe: p, Proof: page.Prove(p.Key)}
		answer.Entry, answer.Listed = page.Find(p.Key)
		a.Probes = append(a.Probes, answer)
	}
	return a, nil
}

// CheckListing says what is wrong with e as the entry by which a map lists p.
func (p *Probe) CheckListing(e *Entry) error {
	subject := e.Name
	if e.Prefix.IsValid() {
		subject = e.Prefix.String()
	}
	opened := !p.Salt.IsZero() && e.Salt == p.Salt && e.Commitment == Commit(p.Salt, p.Scope, p.Subject)
	if e.Kind != KindList || e.Scope != p.Scope || subject != p.Subject && !opened {
		return fmt.Errorf("it is no listing of %s with scope %s", p.Subject, p.Scope)
	}
	return nil
}
