package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// listCmd changes or shows the list.
type listCmd struct {
	Import  listImportCmd  `cmd:"" help:"Read list files into the log and bring the result into force."`
	Update  listUpdateCmd  `cmd:"" help:"Read the configured sources, decide by the policy and bring the result into force."`
	Review  listReviewCmd  `cmd:"" help:"Show what waits for a person's word."`
	Confirm listConfirmCmd `cmd:"" help:"List what waits for a person's word."`
	Reject  listRejectCmd  `cmd:"" help:"Do not list what waits for a person's word."`
	Remove  listRemoveCmd  `cmd:"" help:"Delist names, addresses or prefixes."`
	Status  listStatusCmd  `cmd:"" help:"Show which list is in force."`
	Export  listExportCmd  `cmd:"" help:"Print the list in force for other resolvers."`
}

type listImportCmd struct {
	settings
	Files     []string `arg:"" help:"List files, folders of them, or - for standard input." placeholder:"FILE"`
	Source    string   `required:"" help:"Who claims it: a short identity that stands in the log, such as example-feed." placeholder:"ID"`
	Kind      string   `required:"" help:"What is claimed, such as c2, which is what the default policy lists." placeholder:"KIND"`
	Scope     string   `help:"List names exact or with their subtree. Default: what the file's format says." enum:",exact,subtree" default:"" placeholder:"SCOPE"`
	Format    string   `help:"plain, hosts, adblock, rpz, csv, maltrail, json, misp or stix. Default: detected." enum:",plain,hosts,adblock,rpz,csv,maltrail,json,misp,stix" default:"" placeholder:"FORMAT"`
	Reference string   `help:"Where the claim can be read, for lines that say no place." placeholder:"URL"`
	Family    string   `help:"Malware family, for lines that name none." placeholder:"NAME"`
	Confirm   bool     `help:"Confirm what was removed from the list before, or is a popular name, so that it is listed."`
	DryRun    bool     `help:"Say what would change and change nothing."`
	JSON      bool     `help:"Print the report as JSON." name:"json"`
}

func (c *listImportCmd) Run(ctx context.Context, t terminal) error {
	for flag, token := range map[string]string{"--source": c.Source, "--kind": c.Kind} {
		if err := ledger.CheckToken(token); err != nil {
			return usageError{fmt.Errorf("%s %q: %w", flag, token, err)}
		}
	}
	if kinds := policy.Kinds(); !slices.Contains(kinds, c.Kind) {
		return usageError{fmt.Errorf("--kind %q is no kind of evidence; the kinds are %s", c.Kind, strings.Join(kinds, ", "))}
	}
	files, err := listFiles(ctx, c.Files, t)
	if err != nil {
		return err
	}
	p := newProgress(t.err)
	defer p.clear()
	if c.DryRun {
		cleanup, err := c.settings.spare()
		if err != nil {
			return err
		}
		defer cleanup()
	}
	w, done, err := c.settings.writer(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	rep, err := w.Import(ctx, files, curate.Claim{
		Source: c.Source, Kind: c.Kind, Reference: c.Reference, Family: c.Family,
		Format: feed.Format(c.Format), Scope: feed.Scope(c.Scope), Confirmed: c.Confirm,
	}, c.DryRun)
	p.clear()
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(t.out).Encode(importSummary(rep))
	} else {
		err = printImport(t.out, rep, c.DryRun)
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(rep.Files, func(f *curate.FileReport) bool { return f.Refused == "" }) {
		return nil
	}
	return errors.New("every file was refused; the list in force stays as it was")
}

// spare turns to a folder that goes with the dry run where there is no state
// folder yet: a dry run makes none.
func (s *settings) spare() (cleanup func(), err error) {
	conf, err := s.load()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(conf.State); !errors.Is(err, fs.ErrNotExist) {
		return func() {}, err
	}
	if s.State, err = os.MkdirTemp("", "shoji-dry-run-"); err != nil {
		return nil, err
	}
	return func() { os.RemoveAll(s.State) }, nil
}

// listFiles are the files that args name: a folder stands for every file below
// it but hidden and special ones, and - for standard input. A missing file is an
// error before any is read.
func listFiles(ctx context.Context, args []string, t terminal) ([]curate.File, error) {
	var out []curate.File
	for _, arg := range args {
		if arg == "-" {
			out = append(out, curate.File{Name: "standard input", Open: func() (io.ReadCloser, error) {
				return &interruptible{ctx: ctx, r: t.in}, nil
			}})
			continue
		}
		err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			switch hidden := path != arg && strings.HasPrefix(d.Name(), "."); {
			case err != nil:
				return err
			case hidden && d.IsDir():
				return fs.SkipDir
			case path != arg && !d.Type().IsRegular() && d.Type()&fs.ModeSymlink == 0:
			case !hidden && !d.IsDir():
				out = append(out, curate.File{Name: path, Open: func() (io.ReadCloser, error) { return openFile(ctx, path) }})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, usageError{errors.New("the folders hold no file")}
	}
	return out, nil
}

// openFile opens a file. What may keep its reader waiting, such as a pipe, is
// opened and read so that an interrupt ends the wait.
func openFile(ctx context.Context, path string) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return os.Open(path)
	}
	return &interruptible{ctx: ctx, path: path}, nil
}

// interruptible reads what may block for ever, until ctx ends.
type interruptible struct {
	ctx  context.Context
	r    io.Reader
	path string // opened at the first Read where there is no r
}

func (i *interruptible) Read(p []byte) (int, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		if i.r == nil {
			f, err := os.Open(i.path)
			if err != nil {
				done <- result{nil, err}
				return
			}
			i.r = f
		}
		b := make([]byte, len(p)) // p may be gone by the time that a late read ends
		n, err := i.r.Read(b)
		done <- result{b[:n], err}
	}()
	select {
	case res := <-done:
		return copy(p, res.b), res.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}

func (i *interruptible) Close() error {
	if f, ok := i.r.(*os.File); ok && i.path != "" {
		return f.Close()
	}
	return nil
}

// writer opens the state folder and its evidence for changes, which are made at a low
// priority. done closes them.
func (s settings) writer(ctx context.Context, p *progress) (w *curate.Writer, done func(), err error) {
	yieldToOthers()
	conf, err := s.load()
	if err != nil {
		return nil, nil, err
	}
	return openWriter(ctx, conf, p.show, nil)
}

// writerOfOld is writer for what changes a log that is there.
func (s settings) writerOfOld(ctx context.Context, p *progress) (w *curate.Writer, done func(), err error) {
	conf, err := s.load()
	if err != nil {
		return nil, nil, err
	}
	if _, err := curationOf(conf); err != nil { // before a folder is blamed
		return nil, nil, err
	}
	if following(conf) == nil {
		if _, err := verifierKey(conf); err != nil {
			return nil, nil, err
		}
	}
	return s.writer(ctx, p)
}

// openWriter opens a configuration's state folder and evidence for changes. done closes them.
func openWriter(ctx context.Context, conf config.Config, progress func(string, uint64, uint64), log *slog.Logger) (w *curate.Writer, done func(), err error) {
	by, err := curationOf(conf)
	if err != nil {
		return nil, nil, err
	}
	known, err := store(ctx, conf)
	if err != nil {
		return nil, nil, err
	}
	if w, err = by.write(ctx, known, progress, log); err != nil {
		known.Close()
		return nil, nil, err
	}
	return w, func() { w.Close(); known.Close() }, nil
}

func printImport(w io.Writer, rep *curate.ImportReport, dry bool) error {
	for _, f := range rep.Files {
		if f.Refused != "" {
			fmt.Fprintf(w, "%s: refused: %s\n", f.File, f.Refused)
		} else {
			fmt.Fprintf(w, "%s: %s, %d lines: %d new, %d known already, %d not listed by the policy, %d refused, %d malformed\n",
				f.File, f.Format, f.Lines, f.Listed, f.Known, f.NotListed(), f.Guarded, f.Report.Malformed)
		}
		for _, m := range f.First {
			fmt.Fprintf(w, "  %s:%d: malformed: %s: %s\n", f.File, m.Line, m.Reason, m.Text)
		}
		more(w, uint64(f.Report.Malformed), f.First, "malformed")
		for _, g := range f.FirstSpared {
			fmt.Fprintf(w, "  %s:%d: not listed: %s: %s\n", f.File, g.Line, g.Subject, g.Why)
		}
		more(w, f.NotListed(), f.FirstSpared, "not listed")
		for _, clause := range slices.Sorted(maps.Keys(f.Spared)) {
			fmt.Fprintf(w, "  not listed by clause %s: %d\n", clause, f.Spared[clause])
		}
		for _, g := range f.FirstGuards {
			fmt.Fprintf(w, "  %s:%d: refused: %s is %s\n", f.File, g.Line, g.Subject, g.Why)
		}
		more(w, f.Guarded, f.FirstGuards, "refused")
		for _, g := range f.FirstMixed {
			fmt.Fprintf(w, "  %s:%d: listed, and mixes scripts: %s is %s to people\n", f.File, g.Line, g.Subject, g.Why)
		}
		more(w, f.Mixed, f.FirstMixed, "that mix scripts")
		for _, reason := range slices.Sorted(maps.Keys(f.Skipped)) {
			fmt.Fprintf(w, "  skipped %d: %s\n", f.Skipped[reason], reason)
		}
	}
	if dry {
		_, err := fmt.Fprintf(w, "%d subjects would be listed; nothing was changed\n", rep.Listed)
		return err
	}
	_, err := fmt.Fprintf(w, "%d subjects listed; in force: log entry %d, %d listings, digest %s\n",
		rep.Listed, rep.Epoch.Entry, rep.Epoch.Count, rep.Epoch.Digest)
	return err
}

// more says how many of a kind are not shown.
func more[T any](w io.Writer, all uint64, shown []T, what string) {
	if hidden := all - uint64(len(shown)); hidden > 0 {
		fmt.Fprintf(w, "  and %d more %s\n", hidden, what)
	}
}

// importSummary is the report as a machine reads it.
func importSummary(rep *curate.ImportReport) map[string]any {
	files := []map[string]any{}
	for _, f := range rep.Files {
		files = append(files, map[string]any{
			"file": f.File, "format": f.Format, "refused": f.Refused, "lines": f.Lines, "listed": f.Listed, "known": f.Known,
			"not_listed": f.Spared, "first_not_listed": f.FirstSpared, "guarded": f.Guarded, "malformed": f.Report.Malformed, "skipped": f.Skipped, "first_malformed": f.First, "first_guarded": f.FirstGuards,
			"mixed_scripts": f.Mixed, "first_mixed_scripts": f.FirstMixed,
		})
	}
	return map[string]any{
		"files": files, "listed": rep.Listed, "epoch_entry": rep.Epoch.Entry, "listings": rep.Epoch.Count, "digest": rep.Epoch.Digest.String(),
	}
}

type listRemoveCmd struct {
	settings
	Subjects []string `arg:"" help:"Names, *.names, addresses or prefixes. A name loses the listing of its subtree as well." placeholder:"SUBJECT"`
	Reason   string   `required:"" help:"Why; it stands in the log." placeholder:"TEXT"`
}

func (c *listRemoveCmd) Run(ctx context.Context, t terminal) error {
	var subjects []curate.Subject
	for _, text := range c.Subjects {
		s, err := curate.ParseSubject(text)
		if err != nil {
			return usageError{err}
		}
		subjects = append(subjects, s)
	}
	p := newProgress(t.err)
	defer p.clear()
	w, done, err := c.settings.writerOfOld(ctx, p)
	if err != nil {
		return err
	}
	defer done()
	n, epoch, err := w.Remove(ctx, subjects, c.Reason)
	p.clear()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%d listings ended; in force: log entry %d, %d listings, digest %s\n", n, epoch.Entry, epoch.Count, epoch.Digest)
	return err
}

type listStatusCmd struct {
	settings
	JSON bool `help:"Print JSON for a machine; of several logs, a line each." name:"json"`
}

func (c *listStatusCmd) Run(ctx context.Context, t terminal) error {
	conf, err := c.settings.load()
	if err != nil {
		return err
	}
	status := &curate.LoopStatus{}
	if len(conf.Sources) > 0 {
		if status, err = sourceStatus(ctx, conf); err != nil {
			return err
		}
	}
	alerts := status.Alerts()
	if sequence.Waiting(conf.State) {
		alerts = append(alerts, "the log's newest entries lack cosignatures of witnesses: shoji log publish asks for them, and says why")
	}
	for i := range max(1, len(conf.Follow)) { // a log that has no list yet hides no other
		err = errors.Join(err, c.tell(ctx, t, conf, i, alerts))
	}
	return err
}

// tell tells of the list of log i.
func (c *listStatusCmd) tell(ctx context.Context, t terminal, conf config.Config, i int, alerts []string) error {
	in, err := readList(ctx, conf, i)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(map[string]any{
			"state": conf.State, "log": in.origin, "log_size": in.logSize, "epoch_entry": in.epoch.Entry,
			"compiled_from": in.epoch.Size, "listings": in.list.Count(), "digest": in.epoch.Digest.String(), "time": in.epoch.Time,
			"alerts": alerts, "forks": in.forks, "damaged": in.damaged,
		})
	}
	_, err = fmt.Fprintf(t.out, "state     %s\nlog       %s, %d entries\nin force  log entry %d of %s: %d listings\ndigest    %s\n",
		conf.State, in.origin, in.logSize, in.epoch.Entry, in.epoch.Time.Format("2006-01-02 15:04:05 MST"), in.list.Count(), in.epoch.Digest)
	if in.forks > 0 {
		_, err = fmt.Fprintf(t.out, "forks     %d: the log was shown differently; the proof is in %s\n", in.forks, follow.ForkFolder(conf.State, in.key))
	}
	if in.damaged > 0 {
		_, err = fmt.Fprintf(t.out, "damaged   %d: what was seen of the log was damaged on this machine; it is kept in %s: remove that once the cause is mended\n", in.damaged, follow.DamagedFolder(conf.State, in.key))
	}
	for _, a := range alerts {
		_, err = fmt.Fprintf(t.out, "alert     %s\n", a)
	}
	return err
}
