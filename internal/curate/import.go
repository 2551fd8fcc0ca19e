package curate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
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
}

// Refusal is a subject that may not be listed.
type Refusal struct {
	Line    int
	Subject string
	Why     string
}

// FileReport is what became of one file.
type FileReport struct {
	*feed.Report
	Refused     string    // why the whole file was refused; "" where it was used
	Listed      uint64    // subjects that are new to the list
	Known       uint64    // subjects that are listed already, or stand in the file again
	Guarded     uint64    // subjects that may not be listed
	FirstGuards []Refusal // the first MaxShown of them
}

// ImportReport is what an import did, or would do.
type ImportReport struct {
	Files  []*FileReport
	Listed uint64 // over all files
	Epoch  ledger.Epoch
}

// Import reads files and lists what they claim: every subject that is not
// listed yet and that the guard lets through becomes a list entry of the log.
// Files that are refused as a whole are left out and reported; if all are, or
// one cannot be read, nothing is done. With dry nothing is written.
func (w *Writer) Import(ctx context.Context, files []File, claim Claim, dry bool) (*ImportReport, error) {
	sp, err := w.spool()
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	defer sp.close()
	rep := &ImportReport{}
	in := importer{w: w, spool: sp, claim: claim, now: w.cfg.Now().UTC().Truncate(time.Second)}
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
	rep.Epoch, err = w.publish(ctx, sp)
	return rep, err
}

// importer reads the files of one import into a spool.
type importer struct {
	w     *Writer
	spool *spool
	claim Claim
	now   time.Time
}

func (in *importer) file(ctx context.Context, f File) (*FileReport, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	fr := &FileReport{}
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
		fr.Refused, fr.Listed, fr.Known, fr.Guarded, fr.FirstGuards = refused.Why, 0, 0, 0, nil
		return fr, in.spool.cut(start)
	}
	return fr, err
}

// take turns one claim into an entry, unless it is known or may not be listed.
func (in *importer) take(c feed.Claim, fr *FileReport) error {
	e := ledger.Entry{
		Kind: ledger.KindList, Time: in.now, Scope: ledger.Scope(c.Scope), Clause: ClauseImport, Policy: policyDigest(),
		Evidence: []ledger.Evidence{{
			Source: in.claim.Source, Kind: in.claim.Kind, Reference: c.Reference, Family: c.Family,
			First: c.First.UTC().Truncate(time.Second), Last: c.Last.UTC().Truncate(time.Second),
		}},
	}
	why := ""
	if c.Prefix.IsValid() {
		e.Prefix, why = c.Prefix, in.w.cfg.Guard.Prefix(c.Prefix)
	} else {
		e.Name, why = subjectName(c.Name), in.w.cfg.Guard.Name(c.Name, c.Scope == feed.Subtree)
	}
	switch {
	case why != "":
		if fr.Guarded++; len(fr.FirstGuards) < MaxShown {
			fr.FirstGuards = append(fr.FirstGuards, Refusal{Line: c.Line, Subject: e.Name + prefixText(e.Prefix), Why: why})
		}
		return nil
	case in.w.listed(&e), !in.spool.note(string(e.Scope) + " " + e.Name + prefixText(e.Prefix)):
		fr.Known++
		return nil
	}
	fr.Listed++
	return in.spool.add(&e)
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
