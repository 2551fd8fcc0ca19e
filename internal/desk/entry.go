package desk

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// logEntry is an entry of the log with its proof.
type logEntry struct {
	N          uint64
	Entry      *ledger.Entry
	Subject    string
	Evidence   []evidence
	Clause     *policy.Clause
	Policy     uint64
	Raw        string   // the entry's one encoding
	Leaf       string   // its hash
	Proof      []string // hashes from the leaf's neighbour to the root
	Checkpoint ledger.Checkpoint
	Root       string
	Delisted   bool // it lists what is not in force any more
}

// hashText is a hash as the log's notes write it.
func hashText(h tlog.Hash) string { return base64.StdEncoding.EncodeToString(h[:]) }

// number is an entry's number in a path.
func number(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, web.NotFound
	}
	return n, nil
}

// read reads an entry of the log and proves it.
func (d *Desk) read(r *web.Request, n uint64) (*logEntry, error) {
	s := d.state.Load()
	tip := d.covering(s, n)
	if n >= tip.Size {
		return nil, web.NotFound
	}
	raw, err := ledger.ReadRaw(r.Context(), d.conf.Log, tip, n)
	if err != nil {
		return nil, err
	}
	e, err := ledger.Parse(raw)
	if err != nil {
		return nil, err
	}
	proof, err := ledger.Prove(r.Context(), d.conf.Log, tip, n)
	if err != nil {
		return nil, err
	}
	if err := ledger.VerifyInclusion(tip, n, raw, proof); err != nil {
		return nil, err
	}
	out := &logEntry{
		N: n, Entry: e, Subject: entrySubject(e), Evidence: d.evidence(e), Raw: string(raw), Leaf: hashText(tlog.RecordHash(raw)),
		Checkpoint: tip, Root: hashText(tip.Root),
	}
	for _, h := range proof {
		out.Proof = append(out.Proof, hashText(h))
	}
	out.Delisted = e.Kind == ledger.KindList && !inForce(s, e, n)
	if e.Kind == ledger.KindList || e.Kind == ledger.KindDelist {
		p, at, err := d.policyOf(r.Context(), e.Policy)
		if err != nil {
			return nil, err
		}
		if p != nil {
			out.Clause, out.Policy = p.Clause(e.Clause), at
		}
	}
	return out, nil
}

// inForce reports whether a list entry is what lists its subject, as far as a name or prefix is told.
func inForce(s *state, e *ledger.Entry, n uint64) bool {
	if e.Name == "" && !e.Prefix.IsValid() || s.epoch == nil || n >= s.epoch.Size {
		return true
	}
	at, ok := uint64(0), false
	if e.Prefix.IsValid() {
		at, ok = s.list.PrefixEntry(e.Prefix)
	} else if name, err := dns.ParseName(e.Name); err == nil {
		at, ok = s.list.Entry(name, e.Scope)
	}
	return ok && at == n
}

// entrySubject is what an entry is about, as people write it; "" where it is about nothing, or
// does not tell.
func entrySubject(e *ledger.Entry) string {
	switch {
	case e.Name != "":
		return e.Name
	case e.Prefix.IsValid() && e.Prefix.IsSingleIP():
		return e.Prefix.Addr().String()
	case e.Prefix.IsValid():
		return e.Prefix.String()
	}
	return ""
}

func (d *Desk) entry(r *web.Request) (*web.Reply, error) {
	text, machine := strings.CutSuffix(r.PathValue("n"), ".json")
	n, err := number(text)
	if err != nil {
		return nil, err
	}
	e, err := d.read(r, n)
	if err != nil {
		return nil, err
	}
	if machine {
		return web.JSON(map[string]any{
			"entry": n, "body": json.RawMessage(e.Raw), "leaf": e.Leaf, "proof": append([]string{}, e.Proof...),
			"tree_size": e.Checkpoint.Size, "root": e.Root, "checkpoint": string(e.Checkpoint.Raw), "in_force": e.Entry.Kind == ledger.KindList && !e.Delisted,
		})
	}
	return d.page("entry", web.Text{EN: "Log entry " + web.Number(n), JA: "ログの第 " + web.Number(n) + " 項"}, e), nil
}
