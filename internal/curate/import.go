package curate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// MaxShown bounds the refused names that a report shows for each file.
const MaxShown = 10

// File is one list file. Read is called once.
type File struct {
	Name string
	Open func() (io.ReadCloser, error)
}

// Claim is what the operator says of the files that are imported together.
type Claim struct {
	Source    string      // who says so: a token of the log (ledger.CheckToken)
	Kind      string      // what is claimed, such as "c2": a token of the log
	Reference string      // where it can be read, for claims that name no place
	Family    string      // of malware, for claims that name none
	Format    feed.Format // feed.Auto detects it
	Scope     feed.Scope  // "" takes the format's own
	Confirmed bool        // a person confirms what an appeal took off the list, and what the policy asks a person about
}

// Refusal is a subject that is not listed, or that a person should look at, and why.
type Refusal struct {
	Line    int
	Subject string
	Why     string
}

// FileReport is what became of one file.
type FileReport struct {
	*feed.Report
	Refused     string            // why the whole file was refused; "" where it was used
	Listed      uint64            // subjects that are new to the list
	Known       uint64            // subjects that are listed already, or stand in the file again
	Spared      map[string]uint64 // subjects that the policy does not list, by clause
	FirstSpared []Refusal         // the first MaxShown of them
	Guarded     uint64            // subjects that the policy lists and that may never be listed
	FirstGuards []Refusal         // the first MaxShown of them
	Mixed       uint64            // new listings of names that mix scripts (Spell)
	FirstMixed  []Refusal         // the first MaxShown of them, with how they look
}

// NotListed is how many subjects the policy does not list.
func (r *FileReport) NotListed() uint64 {
	var n uint64
	for _, spared := range r.Spared {
		n += spared
	}
	return n
}

// ImportReport is what an import did, or would do.
type ImportReport struct {
	Files  []*FileReport
	Listed uint64 // over all files
	Epoch  ledger.Epoch
}

// Import reads files, has the policy decide about what they claim and that the operator
// has chosen it, and lists what the policy lists: every such subject that is not listed
// yet and that the guard lets through becomes a list entry of the log.
// Files that are refused as a whole are left out and reported; if all are, or
// one cannot be read, nothing is done. With dry nothing is written.
func (w *Writer) Import(ctx context.Context, files []File, claim Claim, dry bool) (*ImportReport, error) {
	sp, err := w.spool()
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	defer sp.close()
	rep := &ImportReport{}
	in := importer{ctx: ctx, w: w, spool: sp, claim: claim, now: w.now()}
	if in.remembered, err = w.subjects(ctx); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	for _, f := range files {
		fr, err := in.file(ctx, f)
		if err != nil {
			return rep, fmt.Errorf("import: %s: %w", f.Name, err)
		}
		rep.Files = append(rep.Files, fr)
		rep.Listed += fr.Listed
	}
	if dry {
		return rep, nil
	}
	if len(in.confirmed) > 0 {
		if err := w.cfg.Evidence.Say(ctx, SourceOperator, w.now(), in.confirmed); err != nil {
			return rep, err
		}
	}
	rep.Epoch, err = w.publish(ctx, sp)
	return rep, err
}

// importer reads the files of one import into a spool.
type importer struct {
	ctx        context.Context
	w          *Writer
	spool      *spool
	claim      Claim
	now        time.Time
	remembered func(text string) bool // the store has something about a subject
	confirmed  []evidence.Claim       // to be remembered
}

func (in *importer) file(ctx context.Context, f File) (*FileReport, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	fr := &FileReport{Spared: map[string]uint64{}}
	start := in.spool.mark()
	opts := feed.Options{
		File: f.Name, Format: in.claim.Format, Scope: in.claim.Scope,
		Family: in.claim.Family, Reference: in.claim.Reference,
	}
	var done uint64
	fr.Report, err = feed.Read(r, opts, func(c feed.Claim) error {
		if done++; done%progressStep == 0 {
			in.w.progress("reading "+f.Name, done, 0)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return in.take(c, fr)
	})
	if refused := (*feed.Refused)(nil); errors.As(err, &refused) {
		*fr = FileReport{Report: fr.Report, Refused: refused.Why}
		return fr, in.spool.cut(start)
	}
	return fr, err
}

// take has one claim decided and turns it into an entry, unless it is known or may not be listed.
func (in *importer) take(c feed.Claim, fr *FileReport) error {
	s := Subject{Name: c.Name, Prefix: c.Prefix, Scope: c.Scope}
	given, known, err := in.evidence(s, c)
	if err != nil {
		return err
	}
	d, subject, err := in.w.decide(s, given, known, in.now)
	if err != nil {
		return err
	}
	if d.Outcome != policy.List && d.Clause.Then == policy.Review && d.Clause.People == 1 && in.claim.Confirmed {
		in.confirm(s, d.Clause.ID, &given)
		if d, subject, err = in.w.decide(s, given, known, in.now); err != nil {
			return err
		}
	}
	if d.Outcome != policy.List {
		if fr.Spared[d.Clause.ID]++; len(fr.FirstSpared) < MaxShown {
			why := "clause " + d.Clause.ID + ": " + d.Clause.Title.EN
			if d.Outcome == policy.Review && d.Clause.People == 1 {
				why += "; to confirm it lists it"
			}
			fr.FirstSpared = append(fr.FirstSpared, Refusal{Line: c.Line, Subject: s.String(), Why: why})
		}
		return nil
	}
	s.Scope = feed.Scope(d.Scope)
	if why := in.w.cfg.Guard.Why(s); why != "" {
		in.guarded(c, s, why, fr)
		return nil
	}
	if in.w.listed(s) || !in.spool.note(string(s.Scope)+" "+subjectText(s)) {
		fr.Known++
		return nil
	}
	entry := in.w.listEntry
	if in.w.sealed[in.claim.Source] { // that a person has chosen its names does not let them be told
		entry = in.w.hiddenEntry
	}
	e, err := entry(d, subject, in.now)
	if errors.Is(err, errUntellable) {
		in.guarded(c, s, err.Error(), fr)
		return nil
	}
	if err != nil {
		return err
	}
	if looks, mixed := Spell(subjectText(s)); mixed {
		if fr.Mixed++; len(fr.FirstMixed) < MaxShown {
			fr.FirstMixed = append(fr.FirstMixed, Refusal{Line: c.Line, Subject: s.String(), Why: looks})
		}
	}
	fr.Listed++
	return in.spool.add(e)
}

// guarded notes a subject that the policy lists and that may never be listed.
func (in *importer) guarded(c feed.Claim, s Subject, why string, fr *FileReport) {
	if fr.Guarded++; len(fr.FirstGuards) < MaxShown {
		fr.FirstGuards = append(fr.FirstGuards, Refusal{Line: c.Line, Subject: s.String(), Why: why})
	}
}

// evidence is what an import gives for a subject, and what is known of it beside.
func (in *importer) evidence(s Subject, c feed.Claim) (given, known []policy.Evidence, err error) {
	claimed := fact(in.claim.Source, in.claim.Kind, c.Reference)
	claimed.Family, claimed.First, claimed.Last = c.Family, c.First, c.Last
	given = []policy.Evidence{claimed, fact(SourceOperator, policy.Chosen, "")}
	text := subjectText(s)
	if !in.remembered(text) {
		return given, nil, nil
	}
	known, err = in.w.known(in.ctx, text)
	appealed := func(e policy.Evidence) bool { return e.Kind == policy.AppealGranted }
	if err == nil && in.claim.Confirmed && slices.ContainsFunc(known, appealed) {
		in.confirm(s, policy.AppealGranted, &given)
	}
	return given, known, err
}

// confirm notes that a person confirms a subject against what the reference names.
func (in *importer) confirm(s Subject, reference string, given *[]policy.Evidence) {
	e := fact(SourceOperator, policy.Confirmed, reference)
	e.First, e.Last = in.now, in.now
	*given = append(*given, e)
	in.confirmed = append(in.confirmed, ruling(s, policy.Confirmed, reference))
}

// subjectName is a name as the log writes it.
func subjectName(n dns.Name) string {
	return strings.TrimSuffix(n.Canonical().String(), ".")
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
