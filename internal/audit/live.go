package audit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// LiveConfig says which resolvers are asked, what and how.
type LiveConfig struct {
	Servers    []Server
	Transports []Transport // of plain DNS; the first is taken as often as all others together
	// Encrypted carries questions to servers that are Encrypted.
	Encrypted func(ctx context.Context, r Route, query []byte) ([]byte, error)
	Sources   []netip.Addr // of this machine; none: the system chooses
	Names     []dns.Name   // the user's, each asked for in many ways
	Popular   []dns.Name   // ordinary names

	Recursion Recursion
	// Through is a recursion that asks a server for everything and validates what it says.
	Through func(Server) Recursion

	Others []Followed // further logs that the resolvers follow

	Questions int           // at most, in one round; half as many again to look at differences
	Rounds    int           // how often all is asked, in another order
	Over      time.Duration // how long a round takes at least: the questions are spread over it
	// Contact has questions asked that reach servers of listed names: for those in the
	// unfiltered view, and for names that were delisted without a person saying that they
	// are none. Canaries are asked for in any case.
	Contact bool
	// Lag is how long a resolver may take from a list's epoch entry to answering by it.
	Lag time.Duration

	Seed     uint64 // makes the plan a function of it; 0: chance
	Progress func(done, total uint64)
}

// Limits of the questions put to resolvers.
const (
	MinQuestions = 10
	MaxQuestions = 1_000_000 // in all rounds
	MaxRounds    = 1000
	// maxAgain is how often a question is asked again that was answered in another way than
	// it should be, before that is taken for what the resolver says.
	maxAgain = 2
	// nearPorts is within how many source ports a question is asked again.
	nearPorts = 63
	// recursionsAtOnce bounds the own recursion's work under way.
	recursionsAtOnce = 8
	// maxSilent is how many questions in a row may stay without a reply on one route before
	// it is given up, where it has had none.
	maxSilent = 3
)

// Asked is what was asked of resolvers.
type Asked struct {
	Questions uint64            `json:"questions"`
	Names     uint64            `json:"names"`
	Listed    uint64            `json:"listed"`     // of the names
	Addresses uint64            `json:"addresses"`  // listings of addresses, which no question can be about
	Signed    uint64            `json:"signed"`     // answers that DNSSEC proves
	Delivery  map[string]uint64 `json:"delivery"`   // answers that differ from the own recursion's, by what accounts for them
	Lists     int               `json:"lists"`      // that were in force meanwhile
	Lagged    uint64            `json:"lagged"`     // answers by a list that had just been replaced
	OtherLogs map[string]uint64 `json:"other_logs"` // answers that name an entry of another log, by its name
	Servers   []string          `json:"servers"`
	Sources   []string          `json:"sources"`
	Ways      []string          `json:"transports"`
	Sinkholes []string          `json:"sinkholes"` // where filtered answers led, of each family MaxShown at most
}

// live is one audit of resolvers.
type live struct {
	*book  // the log that is at hand
	others []*book
	cfg    *LiveConfig
	plan   *planner
	asked  *Asked
	chosen []topic
	listed []topic
	common []topic // ordinary names

	all       []*observation
	total     uint64 // questions planned, for progress
	truths    map[key]*truth
	leads     map[netip.Addr]map[listing]bool // the listings of which cited answers lead to an address
	originals map[key]map[netip.Addr]bool     // what the twin found of listed names
	twin      map[key]*dns.Message
	reasons   map[reason]*dns.Message
	names     map[dns.Name]bool

	mu     *sync.Mutex // of silent
	silent map[Route]silence

	filtered, answered, rewritten, uniform *Check
}

// silence is how often in a row a route had no reply, before it ever had one, and why the last time.
type silence struct {
	n      int
	broken bool // by a reply
	err    error
}

// key is a question as memories know it.
type key struct {
	name dns.Name
	typ  dns.Type
}

func keyOf(q *question) key { return key{q.name.Canonical(), q.typ} }

// observation is a question that was put, and what came back.
type observation struct {
	question
	at      time.Time
	reply   *dns.Message // nil: none
	err     error
	outcome outcome
	settled bool
	led     *led   // what it holds, where it is filtered as it should be
	heard   bool   // there was a reply, which is not kept
	again   int    // how often it was asked again
	first   *reply // what came back at first, where it was asked again
}

// begun is when the question was put for the first time.
func (o *observation) begun() time.Time {
	if o.first != nil {
		return o.first.at
	}
	return o.at
}

// reply is what came back to a question.
type reply struct {
	at    time.Time
	reply *dns.Message
	err   error
}

// Live holds resolvers against the log that r is the report of, and against the own recursion,
// and adds its checks to r.
func Live(ctx context.Context, log Config, cfg LiveConfig, r *Report) error {
	l := &live{
		book: newBook("", &log, r), cfg: &cfg, plan: newPlanner(&cfg), mu: new(sync.Mutex),
		asked:  &Asked{Delivery: map[string]uint64{}, OtherLogs: map[string]uint64{}},
		truths: map[key]*truth{}, leads: map[netip.Addr]map[listing]bool{}, originals: map[key]map[netip.Addr]bool{}, twin: map[key]*dns.Message{}, reasons: map[reason]*dns.Message{},
		names: map[dns.Name]bool{}, silent: map[Route]silence{},
		filtered: &Check{Name: "filtered"}, answered: &Check{Name: "answered"}, rewritten: &Check{Name: "twin"}, uniform: &Check{Name: "uniform"},
	}
	r.Asked = l.asked
	err := l.run(ctx)
	l.report.Checks = append(l.report.Checks, l.checks()...)
	l.report.judge()
	return err
}

// checks are those that the servers given allow.
func (l *live) checks() []*Check {
	var out []*Check
	if len(l.plan.filtered) > 0 {
		out = append(out, l.filtered, l.answered)
	}
	if len(l.plan.twins) > 0 {
		out = append(out, l.rewritten)
	}
	return append(out, l.uniform)
}

func (l *live) run(ctx context.Context) error {
	if !l.begin() {
		return errors.New("resolvers were not asked: the log has no list that they could be held against")
	}
	for _, o := range l.cfg.Others {
		r := *o.Report
		if b := newBook(fmt.Sprintf("%s+%08x", o.Log.Key.Name(), o.Log.Key.KeyHash()), &o.Log, &r); b.begin() {
			b.given = o.Report
			l.others = append(l.others, b)
		}
	}
	for range max(l.cfg.Rounds, 1) {
		if err := l.round(ctx); err != nil {
			return err
		}
	}
	l.hold(ctx)
	l.compare()
	for _, c := range l.checks() {
		c.done = true
	}
	l.account()
	l.notAsked()
	return nil
}

// notAsked finds the checks that had nothing to look at: that nothing was wrong there shows nothing.
func (l *live) notAsked() {
	for _, c := range l.checks() {
		if c.Checked == 0 && (c != l.filtered || l.newest().Count() > 0) {
			c.open(Finding{Code: NotAsked, Detail: fmt.Sprintf("%d questions a round, of %d names that may be asked for", l.cfg.Questions, len(l.chosen)+len(l.listed)+len(l.common))})
		}
	}
}

// round asks everything once, and what was answered in another way than it should be again.
func (l *live) round(ctx context.Context) error {
	if err := l.choose(ctx); err != nil {
		return err
	}
	l.truths, l.twin, l.reasons = map[key]*truth{}, map[key]*dns.Message{}, map[reason]*dns.Message{} // what was found holds for a while
	visits := l.plan.round(l.plan.topics(l.chosen, l.listed, l.common, l.cfg.Questions), l.cfg.Questions)
	first := len(l.all)
	for i := range visits {
		l.total += uint64(len(visits[i]))
	}
	if err := l.ask(ctx, visits, l.cfg.Over/time.Duration(max(len(visits), 1))); err != nil {
		return err
	}
	asked := l.all[first:]
	for again := 0; ; again++ {
		if err := l.follow(ctx); err != nil {
			return err
		}
		l.resolve(ctx, asked)
		suspects := l.judge(ctx, asked)
		if len(suspects) == 0 || again == maxAgain {
			return ctx.Err()
		}
		if err := l.askAgain(ctx, suspects); err != nil {
			return err
		}
	}
}

// ask makes visits, with gaps of the given mean between them. What a visit asks it asks at
// once, as a stub does.
func (l *live) ask(ctx context.Context, visits []visit, gap time.Duration) error {
	for i, v := range visits {
		if i > 0 && gap > 0 {
			if err := sleep(ctx, l.plan.gap(gap)); err != nil {
				return err
			}
		}
		var wg sync.WaitGroup
		for _, q := range v {
			o := &observation{question: q, at: time.Now()}
			l.all = append(l.all, o)
			wg.Go(func() { o.reply, o.err = l.put(ctx, &o.question) })
		}
		if wg.Wait(); ctx.Err() != nil {
			return ctx.Err()
		}
		if l.cfg.Progress != nil {
			l.cfg.Progress(uint64(len(l.all)), max(l.total, uint64(len(l.all))))
		}
	}
	return nil
}

// askAgain puts the questions of suspects again, among as many about ordinary names, and
// learns anew what the Internet says.
func (l *live) askAgain(ctx context.Context, suspects []*observation) error {
	if err := l.catchUp(ctx, suspects); err != nil {
		return err
	}
	suspects = suspects[:min(len(suspects), max(l.cfg.Questions/(2*(1+maxAgain)), 1))]
	for _, s := range suspects {
		var cover *observation
		if n := len(l.all); n > 0 {
			cover = l.all[l.plan.IntN(n)]
		}
		ask := []*observation{s}
		if cover != nil && !cover.listed {
			c := *cover
			if ask = append(ask, &c); l.plan.IntN(2) == 0 {
				slices.Reverse(ask)
			}
		}
		if s.again++; s.first == nil {
			s.first = &reply{s.at, s.reply, s.err}
		}
		for _, o := range ask {
			o.route.Port ^= uint16(1 + l.plan.IntN(nearPorts)) // another, for TCP, and yet of the same part of all
			o.at = time.Now()
			if o.reply, o.err = l.put(ctx, &o.question); ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if l.cfg.Over > 0 {
			if err := sleep(ctx, l.plan.gap(l.cfg.Over/time.Duration(l.cfg.Questions))); err != nil {
				return err
			}
		}
	}
	l.learnAnew(ctx, suspects)
	return nil
}

// catchUp waits until a list that has just come into force must be followed, where that may
// be what made an answer another one.
func (l *live) catchUp(ctx context.Context, suspects []*observation) error {
	if !slices.ContainsFunc(suspects, func(o *observation) bool { return ofList(o.outcome.code) }) {
		return nil
	}
	since := l.since(len(l.lists) - 1)
	for _, b := range l.others {
		if at := b.since(len(b.lists) - 1); at.After(since) {
			since = at
		}
	}
	if wait := time.Until(since.Add(l.cfg.Lag)); wait > 0 && wait <= l.cfg.Lag {
		return sleep(ctx, wait)
	}
	return nil
}

// put sends one question and reads the reply; what was cut over UDP it asks over TCP, as
// stubs do.
func (l *live) put(ctx context.Context, q *question) (*dns.Message, error) {
	way := q.route
	way.Port = 0
	l.mu.Lock()
	was := l.silent[way]
	l.mu.Unlock()
	if was.n >= maxSilent {
		return nil, fmt.Errorf("this way was given up, after the first %d questions had no reply: %w", was.n, was.err)
	}
	m, err := l.carry(ctx, q, q.route.Transport)
	if err == nil && m.Flags.Has(dns.FlagTC) && q.route.Transport == UDP {
		m, err = l.carry(ctx, q, TCP)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if was = l.silent[way]; err == nil {
		was = silence{broken: true}
	} else if !was.broken && ctx.Err() == nil {
		was.n, was.err = was.n+1, err
	}
	l.silent[way] = was
	return m, err
}

func (l *live) carry(ctx context.Context, q *question, transport string) (*dns.Message, error) {
	carry := l.cfg.Encrypted
	if q.route.Encrypted == "" {
		at := slices.IndexFunc(l.cfg.Transports, func(t Transport) bool { return t.Name == transport })
		if at < 0 {
			return nil, fmt.Errorf("the reply was cut, and %s is not asked", transport)
		}
		carry = l.cfg.Transports[at].Carry
	}
	query, err := q.query()
	if err != nil {
		return nil, err
	}
	b, err := carry(ctx, q.route, query)
	if err != nil {
		return nil, err
	}
	m := new(dns.Message)
	if err := m.Unpack(b); err != nil {
		return nil, fmt.Errorf("a reply that cannot be read: %w", err)
	}
	return m, nil
}

// follow reads the logs again where they have grown.
func (l *live) follow(ctx context.Context) error {
	err := l.book.follow(ctx, l.filtered)
	l.report.Asked = l.asked
	for _, b := range l.others {
		err = errors.Join(err, b.follow(ctx, l.filtered))
	}
	return err
}

// sleep waits; it ends early, with an error, where ctx does.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// truth is what the own recursion found for a question, the latest last.
type truth struct{ found []*answer.Answer }

func (t *truth) latest() *answer.Answer { return t.found[len(t.found)-1] }

// resolve finds what the Internet says to what was asked, unless it is known.
func (l *live) resolve(ctx context.Context, asked []*observation) {
	var missing []key
	queued := map[key]bool{}
	for _, o := range asked {
		k := keyOf(&o.question)
		if l.mayResolve(&o.question) && l.truths[k] == nil && !queued[k] {
			queued[k] = true
			missing = append(missing, k)
		}
	}
	l.find(ctx, missing, l.cfg.Recursion.Resolve)
}

// learnAnew asks the Internet again about suspects.
func (l *live) learnAnew(ctx context.Context, suspects []*observation) {
	var again []key
	queued := map[key]bool{}
	for _, o := range suspects {
		if k := keyOf(&o.question); l.truths[k] != nil && !queued[k] {
			queued[k] = true
			again = append(again, k)
		}
	}
	l.find(ctx, again, func(ctx context.Context, name dns.Name, t dns.Type) *answer.Answer {
		return l.cfg.Recursion.Refresh(ctx, name, t, anew)
	})
}

// find asks the own recursion, several questions at a time.
func (l *live) find(ctx context.Context, questions []key, ask func(context.Context, dns.Name, dns.Type) *answer.Answer) {
	var wg sync.WaitGroup
	room := make(chan struct{}, recursionsAtOnce)
	answers := make([]*answer.Answer, len(questions))
	for i, k := range questions {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			answers[i] = ask(ctx, k.name, k.typ)
		})
	}
	wg.Wait()
	for i, k := range questions {
		if l.truths[k] == nil {
			l.truths[k] = &truth{}
		}
		l.truths[k].found = append(l.truths[k].found, answers[i])
	}
}

// mayResolve reports whether the own recursion may ask for it: nobody's malware is contacted
// unasked, and ANY is nothing that a resolver answers in full (RFC 8482).
func (l *live) mayResolve(q *question) bool {
	if q.typ == dns.TypeANY {
		return false
	}
	for _, b := range l.books() {
		if !q.contact && slices.ContainsFunc(b.lists, func(d dated) bool { _, listed := d.MatchName(q.name); return listed }) {
			return false
		}
	}
	return true
}
