package curate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// Fetch is feed.Fetcher.Fetch.
type Fetch func(ctx context.Context, location string, have feed.Validators, out *os.File) (now feed.Validators, unchanged bool, err error)

// LoopConfig is what a Loop needs.
type LoopConfig struct {
	Dir      string          // the state folder
	Log      sequence.Config // as in Config
	Guard    Guard
	Policy   *policy.Policy
	Store    *evidence.Store
	Sources  []Source
	Fetch    Fetch
	Now      func() time.Time                       // nil: time.Now
	Progress func(stage string, done, total uint64) // nil: nobody looks
	Logger   *slog.Logger                           // nil: nobody
}

// Loop brings what sources say into force: sources → evidence → decisions → log →
// compiled list. It works on what changed, and takes up where it was ended.
type Loop struct {
	cfg    LoopConfig
	groups map[string]string
	tried  map[string]time.Time // by source, when it was read last by this Loop
}

// NewLoop makes a Loop.
func NewLoop(cfg LoopConfig) (*Loop, error) {
	if err := CheckSources(cfg.Sources); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Loop{cfg: cfg, groups: groupsOf(cfg.Sources), tried: map[string]time.Time{}}, nil
}

// UpdateOptions say how much an update does.
type UpdateOptions struct {
	Due     bool     // read the sources that are due, and not all
	DryRun  bool     // say what would change, change nothing
	Confirm bool     // a person confirms a change beyond the policy's limits
	Accept  []string // sources whose shrinking a person has looked at
}

// The states of a source after an update.
const (
	SourceRefreshed = "read"
	SourceUnchanged = "unchanged"
	SourceNotDue    = "not due"
	SourceFailed    = "failed"
)

// SourceReport is what became of one source.
type SourceReport struct {
	ID        string              `json:"id"`
	State     string              `json:"state"`
	Refreshed evidence.Refreshed  `json:"refreshed"`
	Malformed int                 `json:"malformed"`
	Paths     int                 `json:"paths"`               // claims about an address below a host, which accuse no host
	Passes    int                 `json:"passes"`              // that a policy zone lets pass
	Overruled int                 `json:"overruled"`           // claims of a policy zone that it has an exception to itself
	Skipped   map[feed.Reason]int `json:"skipped,omitempty"`   // lines, on purpose
	NotTaken  []string            `json:"not_taken,omitempty"` // the first triggers of a policy zone that are not taken
	Alert     string              `json:"alert,omitempty"`
}

// Change is one listing that begins or ends.
type Change struct {
	Listed  bool   `json:"listed"`
	Subject string `json:"subject"`
	Clause  string `json:"clause"`
}

// UpdateReport is what an update did, or would do.
type UpdateReport struct {
	Sources   []SourceReport    `json:"sources"`
	Decided   uint64            `json:"decided"` // subjects
	Clauses   map[string]uint64 `json:"clauses"` // of the subjects that were decided, by the clause that did
	Review    []Change          `json:"review"`  // the first of those that wait for a person
	Listed    uint64            `json:"listed"`
	Delisted  uint64            `json:"delisted"`
	Popular   uint64            `json:"popular"`   // of those, popular names
	Guarded   uint64            `json:"guarded"`   // listed by the policy, and never to be listed
	Overruled uint64            `json:"overruled"` // subjects of which an accusation does not count, for an earlier policy zone lets them pass
	First     []Change          `json:"first"`     // the first MaxShown changes
	Held      string            `json:"held"`      // why nothing came into force; "" where it did
	Epoch     ledger.Epoch      `json:"-"`

	whole bool // all subjects are to be decided anew
}

// Alerts are the sources that failed, and what is held back.
func (r *UpdateReport) Alerts() []string {
	var out []string
	for _, s := range r.Sources {
		if s.Alert != "" {
			out = append(out, s.ID+": "+s.Alert)
		}
	}
	if r.Held != "" {
		out = append(out, r.Held)
	}
	return out
}

// Update reads sources and brings what follows into force. A source that fails is in
// the report; what it said before stands.
func (l *Loop) Update(ctx context.Context, o UpdateOptions) (*UpdateReport, error) {
	now := l.cfg.Now().UTC().Truncate(time.Second)
	all, err := l.gather(ctx, o, now)
	for i := range all {
		defer all[i].close()
	}
	if err != nil {
		return nil, err
	}
	rep := &UpdateReport{Clauses: map[string]uint64{}}
	work := func(store *evidence.Store) error {
		if err := l.take(ctx, store, all, o, rep, now); err != nil {
			return err
		}
		return l.settle(ctx, store, o, rep, now)
	}
	if o.DryRun {
		err = l.cfg.Store.Trial(ctx, work)
	} else {
		err = work(l.cfg.Store)
	}
	return rep, err
}

// memoDecided is the name under which the store notes how far decisions have come.
const memoDecided = "decided"

// memoHeld is the name under which the store notes what waits for a person.
const memoHeld = "held"

// decidedTo is how far decisions have come, and what they were made by.
type decidedTo struct {
	Revision evidence.Revision `json:"revision"`
	Aged     int64             `json:"aged"`    // up to when evidence that passed an age was looked at, Unix seconds
	Whole    int64             `json:"whole"`   // when all was decided last
	By       string            `json:"by"`      // digest of the policy, the sources and the guard
	Reach    uint64            `json:"reach"`   // digest of the facts that reach below
	Entries  uint64            `json:"entries"` // of the log, afterwards
}

const (
	// ageStep is how often evidence that passed one of the policy's ages is looked for:
	// ages are days, and it costs a pass over all evidence.
	ageStep = time.Hour
	// wholeStep is how often everything is decided anew, for what no change of evidence
	// shows, such as a popular name below one whose subtree is listed.
	wholeStep = 24 * time.Hour
)

// by is the digest of what decisions are made by, besides evidence.
func (l *Loop) by() string {
	b := fmt.Appendf(nil, "%s %v %v", l.cfg.Policy.Digest, l.cfg.Guard.own, l.cfg.Guard.addrs)
	for _, id := range slices.Sorted(maps.Keys(l.groups)) {
		b = fmt.Appendf(b, " %s %s", id, l.groups[id])
	}
	b = fmt.Appendf(b, " %s", zonesOf(l.cfg.Sources))
	if sealed := sealedOf(l.cfg.Sources); len(sealed) > 0 {
		b = fmt.Appendf(b, " %v", sealed)
	}
	return digestText(b)
}

// minAge is the shortest of the policy's ages.
func (l *Loop) minAge() time.Duration {
	least := 400 * 24 * time.Hour
	for _, age := range l.cfg.Policy.Ages {
		least = min(least, age)
	}
	return least
}

// settle decides what is to be decided and publishes it.
func (l *Loop) settle(ctx context.Context, store *evidence.Store, o UpdateOptions, rep *UpdateReport, now time.Time) error {
	var last decidedTo
	text, err := store.Memo(ctx, memoDecided)
	if err != nil {
		return err
	}
	_ = json.Unmarshal([]byte(text), &last) // what is damaged is decided anew
	j, err := l.judge(ctx, store, now)
	if err != nil {
		return err
	}
	next := decidedTo{Aged: now.Unix(), Whole: now.Unix(), By: l.by(), Reach: j.reach.digest}
	if next.Revision, err = store.Revision(ctx); err != nil {
		return err
	}
	w, err := Open(ctx, Config{
		Dir: l.cfg.Dir, Log: l.cfg.Log, Guard: l.cfg.Guard, Policy: l.cfg.Policy, Evidence: store, Sources: l.cfg.Sources,
		Now: l.cfg.Now, Progress: l.cfg.Progress, Logger: l.cfg.Logger,
	})
	if err != nil {
		return err
	}
	defer w.Close()
	rep.whole = rep.whole || last.By != next.By || last.Reach != next.Reach || last.Entries > w.Size() || now.Unix()-last.Whole >= int64(wholeStep/time.Second)
	u := &update{w: w, store: store, judge: j, rep: rep, now: now}
	if u.spool, err = w.spool(); err != nil {
		return err
	}
	defer u.spool.close()
	declared, err := l.declare(ctx, store, u.spool, now) // before what cites them
	if err != nil {
		return err
	}
	if !rep.whole {
		next.Whole = last.Whole
	}
	if rep.whole {
		err = u.whole(ctx, last.By != next.By)
	} else {
		err = u.changed(ctx, last, &next)
	}
	if err == nil {
		err = u.ends(ctx)
	}
	if err != nil {
		return err
	}
	return l.bring(ctx, u, o, declared, last, next)
}

// bring publishes what was decided, unless a person has to confirm it first.
func (l *Loop) bring(ctx context.Context, u *update, o UpdateOptions, declared string, last, next decidedTo) error {
	first := last == decidedTo{} && u.rep.Delisted == 0 // of a store that was lost, it is not the first
	if u.rep.Held = u.beyond(l.cfg.Policy.Limits); first || o.Confirm {
		u.rep.Held = ""
	}
	if o.DryRun {
		return nil
	}
	if err := u.store.SetMemo(ctx, memoHeld, u.rep.Held); err != nil || u.rep.Held != "" {
		return err
	}
	if u.spool.count > 0 || u.w.unpublished() {
		var err error
		if u.rep.Epoch, err = u.w.publish(ctx, u.spool); err != nil {
			return err
		}
	}
	next.Entries = u.w.Size()
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return errors.Join(u.store.SetMemo(ctx, memoDeclared, declared), u.store.SetMemo(ctx, memoDecided, string(b)))
}

func (l *Loop) progress(stage string, done, total uint64) {
	if l.cfg.Progress != nil {
		l.cfg.Progress(stage, done, total)
	}
}

// Run updates what is due, again and again until ctx ends. What fails is told and tried again.
func (l *Loop) Run(ctx context.Context) {
	told := ""
	for {
		rep, err := l.Update(ctx, UpdateOptions{Due: true})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.cfg.Logger.Error("the list was not updated; the one in force stays", "cause", err)
		} else {
			told = l.tell(rep, told)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(l.wait(ctx)):
		}
	}
}

// tell logs what an update did, and alerts that were not told last time.
func (l *Loop) tell(rep *UpdateReport, told string) string {
	if rep.Listed+rep.Delisted > 0 && rep.Held == "" {
		l.cfg.Logger.Info("sources", "listed", rep.Listed, "delisted", rep.Delisted, "entry", rep.Epoch.Entry)
	}
	alerts := rep.Alerts()
	now := fmt.Sprint(alerts)
	if now != told {
		for _, a := range alerts {
			l.cfg.Logger.Warn("a source or a change needs a look; the list in force stays", "cause", a)
		}
	}
	return now
}

// The shortest and the longest wait between two updates of Run.
const (
	minWait = 5 * time.Second
	maxWait = ageStep
)

// wait is how long it is until a source is due.
func (l *Loop) wait(ctx context.Context) time.Duration {
	next := maxWait
	for i := range l.cfg.Sources {
		st, err := l.cfg.Store.Source(ctx, l.cfg.Sources[i].ID)
		if err != nil {
			return minWait
		}
		next = min(next, l.due(&l.cfg.Sources[i], st).Sub(l.cfg.Now()))
	}
	return max(next, minWait)
}

// SourceStatus is a source with what is known of it.
type SourceStatus struct {
	Source
	Refreshed time.Time `json:"refreshed"` // when it was read last; zero: never
	Published time.Time `json:"published"` // when what was read was published, as far as that is known
	Claims    int       `json:"claims"`
	Due       time.Time `json:"due"` // when it is to be read next
	Failures  int       `json:"failures"`
	Alert     string    `json:"alert"` // why it failed last; "" while it does not
}

// LoopStatus is how things stand.
type LoopStatus struct {
	Sources []SourceStatus `json:"sources"`
	Held    string         `json:"held"` // what waits for a person; "" for nothing
}

// Alerts are the sources that failed, and what is held back.
func (s *LoopStatus) Alerts() []string {
	out := []string{}
	for _, source := range s.Sources {
		if source.Alert != "" {
			out = append(out, "source "+source.ID+" failed: "+source.Alert)
		}
	}
	if s.Held != "" {
		out = append(out, s.Held)
	}
	return out
}

// Status says how things stand.
func (l *Loop) Status(ctx context.Context) (*LoopStatus, error) {
	out := &LoopStatus{Sources: []SourceStatus{}}
	for i := range l.cfg.Sources {
		s := &l.cfg.Sources[i]
		st, err := l.cfg.Store.Source(ctx, s.ID)
		if err != nil {
			return nil, err
		}
		due := l.due(s, st)
		if now := l.cfg.Now(); due.Before(now) {
			due = now
		}
		out.Sources = append(out.Sources, SourceStatus{*s, st.Refreshed, st.Published, st.Claims, due, st.Failures, st.Alert})
	}
	var err error
	out.Held, err = l.cfg.Store.Memo(ctx, memoHeld)
	return out, err
}
