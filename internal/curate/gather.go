package curate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// fetches is how many sources are fetched at a time: those that dawdle, for as long as
// feed.StallTime lets them, keep others waiting only where so many do at once.
const fetches = 16

// gathered is a source that was fetched, or why it was not.
type gathered struct {
	source    *Source
	due       bool
	before    evidence.State
	file      *os.File  // unlinked; nil where there is none
	published time.Time // zero: not known
	now       feed.Validators
	unchanged bool
	err       error
}

func (g *gathered) close() {
	if g.file != nil {
		g.file.Close()
	}
}

// gather fetches the sources that are to be read, beside one another. They are read
// afterwards, in their order, so that what is decided does not hang on who was fast.
func (l *Loop) gather(ctx context.Context, o UpdateOptions, now time.Time) ([]gathered, error) {
	out := make([]gathered, len(l.cfg.Sources))
	var fetch []*gathered
	for i := range l.cfg.Sources {
		g := &out[i]
		g.source = &l.cfg.Sources[i]
		var err error
		if g.before, err = l.cfg.Store.Source(ctx, g.source.ID); err != nil {
			return nil, err
		}
		g.due = !o.Due || !l.due(g.source, g.before).After(now)
		if g.due && !g.source.isFolder() {
			fetch = append(fetch, g)
		}
	}
	queue, done := make(chan *gathered, len(fetch)), make(chan *gathered)
	for _, g := range fetch {
		queue <- g
	}
	close(queue)
	for range min(fetches, len(fetch)) {
		go func() {
			for g := range queue {
				g.fetch(ctx, l.cfg.Fetch)
				done <- g
			}
		}()
	}
	l.await(fetch, done)
	return out, ctx.Err()
}

// await waits until all are done, and shows for whom.
func (l *Loop) await(all []*gathered, done <-chan *gathered) {
	tick := time.NewTicker(time.Second) // the line in between may have come too soon to be drawn
	defer tick.Stop()
	for open := slices.Clone(all); len(open) > 0; {
		l.progress("fetching sources, waiting for "+open[0].source.ID, uint64(len(all)-len(open)), uint64(len(all)))
		select {
		case <-tick.C:
		case g := <-done:
			open = slices.DeleteFunc(open, func(o *gathered) bool { return o == g })
		}
	}
}

// backoff is how long a source that failed is left alone first; each failure in a row
// doubles it, up to the source's interval.
const backoff = time.Minute

// due is when a source is to be read next.
func (l *Loop) due(s *Source, st evidence.State) time.Time {
	if st.Failures == 0 {
		if st.Refreshed.IsZero() {
			return time.Time{}
		}
		return st.Refreshed.Add(s.Interval)
	}
	tried, ok := l.tried[s.ID]
	if !ok {
		return time.Time{} // it failed before this program started
	}
	return tried.Add(min(s.Interval, backoff<<min(st.Failures-1, 16)))
}

// isFolder reports whether the source is a folder of files, which are read where they lie.
func (s *Source) isFolder() bool {
	if strings.Contains(s.Location, "://") {
		return false
	}
	info, err := os.Stat(s.Location)
	return err == nil && info.IsDir()
}

func (g *gathered) fetch(ctx context.Context, fetch Fetch) {
	f, err := os.CreateTemp("", "shoji-source-*")
	if err != nil {
		g.err = err
		return
	}
	os.Remove(f.Name()) // it goes with the process, however that ends
	g.file = f
	g.now, g.unchanged, g.err = fetch(ctx, g.source.Location, feed.Validators(g.before.Validators), f)
	g.published = g.now.Published()
	if g.err == nil && !g.unchanged {
		_, g.err = f.Seek(0, io.SeekStart)
	}
}

// files are the files of the source, to be read. A folder was published when the newest of
// its files was written.
func (g *gathered) files() ([]File, error) {
	if g.file != nil {
		return []File{{Name: g.source.Location, Open: func() (io.ReadCloser, error) { return io.NopCloser(g.file), nil }}}, nil
	}
	var out []File
	err := filepath.WalkDir(g.source.Location, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(g.published) {
			g.published = info.ModTime()
		}
		out = append(out, File{Name: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }})
		return err
	})
	if err == nil && len(out) == 0 {
		err = errors.New("the folder holds no file")
	}
	return out, err
}

// errNoMore ends the reading of a file whose claims nobody takes any more.
var errNoMore = errors.New("no more claims are taken")

// claims reads the source's files and yields what they claim. An error of one is the last.
func (g *gathered) claims(ctx context.Context, files []File, rep *SourceReport) iter.Seq2[evidence.Claim, error] {
	return func(yield func(evidence.Claim, error) bool) {
		rank := 0
		for _, f := range files {
			err := g.read(ctx, f, rep, &rank, yield)
			if errors.Is(err, errNoMore) {
				return
			}
			if err != nil {
				yield(evidence.Claim{}, err)
				return
			}
		}
	}
}

// read reads one file. One of a folder may be empty.
func (g *gathered) read(ctx context.Context, f File, rep *SourceReport, rank *int, yield func(evidence.Claim, error) bool) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	s := g.source
	format := s.Format
	if feed.IsTransfer(s.Location) {
		format = feed.RPZ
	}
	read, err := feed.Read(r, feed.Options{File: f.Name, Format: format, Scope: s.Scope, Family: s.Family, Passes: true}, func(c feed.Claim) error {
		*rank++
		if *rank%progressStep == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if c.Pass {
			rep.Passes++
			if !yield(g.claim(c, passes, 0), nil) {
				return errNoMore
			}
			return nil
		}
		for _, kind := range s.Kinds {
			if c.Path && slices.Contains(accusing, kind) {
				rep.Paths++
				continue
			}
			if !yield(g.claim(c, kind, *rank), nil) {
				return errNoMore
			}
		}
		return nil
	})
	rep.add(read)
	if refused := (*feed.Refused)(nil); errors.As(err, &refused) && refused.Empty && g.file == nil {
		return nil
	}
	return err
}

// add adds what was found in one file.
func (r *SourceReport) add(read *feed.Report) {
	r.Malformed += read.Malformed
	r.Overruled += read.Overruled
	for why, n := range read.Skipped {
		if r.Skipped == nil {
			r.Skipped = make(map[feed.Reason]int)
		}
		r.Skipped[why] += n
	}
	r.NotTaken = append(r.NotTaken, read.NotTaken[:min(len(read.NotTaken), MaxShown-len(r.NotTaken))]...)
}

// claim is one claim of one kind, as the store keeps it.
func (g *gathered) claim(c feed.Claim, kind string, rank int) evidence.Claim {
	out := evidence.Claim{
		Subject: evidence.Subject{Text: subjectText(Subject{Name: c.Name, Prefix: c.Prefix}), Scope: ledger.Scope(c.Scope)},
		Kind:    kind, Reference: c.Reference, Family: c.Family, First: c.First, Last: c.Last, Archived: g.source.archived(c.Format),
	}
	if kind == policy.Popular {
		out.Reference = strconv.Itoa(rank)
	}
	return out
}

// accusing are the kinds of evidence that count for a listing. They go stale and are
// not unsaid; of the others, what a source no longer says does not count.
var accusing = []string{policy.C2, policy.MalwareHost, policy.DGA, policy.Phishing, policy.Dedicated}

// take brings what was gathered into a store. A source that fails leaves what it said
// before, and an alert.
func (l *Loop) take(ctx context.Context, store *evidence.Store, all []gathered, o UpdateOptions, rep *UpdateReport, now time.Time) error {
	for i := range all {
		g := &all[i]
		sr := SourceReport{ID: g.source.ID, State: SourceNotDue}
		if g.due {
			if err := l.takeOne(ctx, store, g, o, &sr, now); err != nil {
				return err
			}
			if sr.State == SourceRefreshed && !g.before.Published.IsZero() && now.Sub(g.before.Published) > l.minAge() {
				rep.whole = true // undated claims were stale and may be fresh again, without having changed
			}
		}
		rep.Sources = append(rep.Sources, sr)
	}
	return nil
}

func (l *Loop) takeOne(ctx context.Context, store *evidence.Store, g *gathered, o UpdateOptions, sr *SourceReport, now time.Time) error {
	l.tried[g.source.ID] = now
	err := g.err
	switch {
	case err != nil:
	case g.unchanged:
		sr.State = SourceUnchanged
		return store.Unchanged(ctx, g.source.ID, now)
	default:
		l.progress("reading "+g.source.ID, 0, 0)
		err = g.refresh(ctx, store, slices.Contains(o.Accept, g.source.ID), sr, now)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		sr.State, sr.Alert = SourceFailed, shorten(err)
		return store.Failed(ctx, g.source.ID, sr.Alert)
	}
	sr.State = SourceRefreshed
	return nil
}

// refresh brings what the source says into a store.
func (g *gathered) refresh(ctx context.Context, store *evidence.Store, accepted bool, sr *SourceReport, now time.Time) error {
	files, err := g.files()
	if err != nil {
		return err
	}
	of := evidence.Reading{Source: g.source.ID, At: now, Published: g.published, Validators: evidence.Validators(g.now), Force: accepted}
	sr.Refreshed, err = store.Refresh(ctx, of, g.claims(ctx, files, sr))
	return err
}

// shorten is an error as an alert: one line of bounded length.
func shorten(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > ledger.MaxText {
		text = fmt.Sprintf("%.1000q …", text)
	}
	return text
}
