package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/feed"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// proveFlags ask for the proof of an answer.
type proveFlags struct {
	Prove  bool   `help:"Prove by the public log that the answer is filtered as it says, or that nothing of it is listed." group:"Proof"`
	Log    string `help:"The log: its address, or the folder of a copy. Default: the address that the resolver tells (RESINFO)." placeholder:"URL|DIR" group:"Proof"`
	Key    string `help:"The log's verifier key, as shoji log key prints it. Default: the one that the log had when it was first met." placeholder:"VKEY" group:"Proof"`
	Memory string `help:"Folder where keys of logs are remembered. Default: verify in the user's state folder." type:"path" placeholder:"DIR" group:"Proof"`
	Twin   string `name:"unfiltered" help:"The unfiltered twin: asked where a name is filtered for what it leads to, which a filtered answer does not say." placeholder:"SERVER" group:"Proof"`
}

const (
	// maxLed bounds the names and addresses of one answer that are looked up.
	maxLed = 32
	// settling is how long a resolver may answer by the list before: it looks at a log that it
	// follows every ten seconds, and a minute is what verify grants (--lag).
	settling = time.Minute
)

// What a proof comes to. The exit status follows it.
const (
	proved    = "proved"
	refuted   = "not-proved"
	passed    = "listed" // and not filtered, as the unfiltered view answers
	unproved  = "unchecked"
	whyDamage = "damage" // what the log's server says contradicts the log
	whyFailed = "failed"
)

// proof is what the log says about an answer.
type proof struct {
	verdict string
	why     string // key of proveWords
	name    string // that was asked
	log     *headOfLog
	cited   *uint64 // the entry that the answer names
	other   string  // the log that the entry is of, where it is another one
	entry   *ledger.Entry
	raw     []byte   // of entry
	path    []string // its inclusion proof
	by      *lookedUp
	looked  []*lookedUp
	err     error
}

// status is the exit status, as an error; nil for 0.
func (p *proof) status() error {
	switch {
	case p == nil || p.verdict == proved:
		return nil
	case errors.As(p.err, &usageError{}):
		return p.err
	case p.verdict == passed:
		return statusError{errors.New("listed, and not filtered"), exitListed}
	case p.verdict == refuted:
		return errors.New("the answer is not proved")
	}
	return statusError{errors.New("the answer could not be checked"), exitUnchecked}
}

// prover holds one answer against a log.
type prover struct {
	*proof
	c       *queryCmd
	log     *openLog
	answer  *answered
	subject curate.Subject
}

// prove holds an answer against the log.
func (c *queryCmd) prove(ctx context.Context, a *answered, t terminal) *proof {
	q := a.reply.Question
	p := &prover{proof: &proof{verdict: unproved, why: whyFailed}, c: c, answer: a}
	if len(q) != 1 {
		p.err = errors.New("the reply repeats no question")
		return p.proof
	}
	p.subject = curate.Subject{Name: q[0].Name.Canonical(), Scope: feed.Exact}
	p.name = p.subject.String()
	bar := newProgress(t.err)
	defer bar.clear()
	if err := p.run(ctx, bar); err != nil {
		damage, entry := (*ledger.DamageError)(nil), (*ledger.EntryError)(nil)
		p.err = err
		if errors.As(err, &damage) || errors.As(err, &entry) {
			p.verdict, p.why = refuted, whyDamage
		}
	}
	return p.proof
}

func (p *prover) end(verdict, why string) error {
	p.verdict, p.why = verdict, why
	return nil
}

func (p *prover) run(ctx context.Context, bar *progress) error {
	m := p.answer.reply
	if m.RCode != dns.RCodeSuccess && m.RCode != dns.RCodeNameError {
		return p.end(unproved, "no-answer")
	}
	look := lookupCmd{Log: p.c.Log, Key: p.c.Key, Memory: p.c.Memory, Lang: p.c.Lang}
	if look.Log == "" {
		var err error
		if look.Log, err = p.c.toldLog(ctx); err != nil {
			return err
		}
	}
	var err error
	if p.log, err = look.open(ctx, bar); err != nil {
		return err
	}
	defer p.log.close()
	p.proof.log = &p.log.headOfLog
	if filtered, all := citation.Read(m); filtered {
		err = p.byCitation(ctx, citation.Choose(all, p.log.verifier))
	} else {
		err = p.unfiltered(ctx)
	}
	if err != nil {
		return err
	}
	return p.log.remember(look.Memory)
}

// byCitation holds a filtered answer against the log by what it cites; nil where that is nothing.
func (p *prover) byCitation(ctx context.Context, cited *citation.Citation) error {
	if cited == nil {
		return p.filtered(ctx)
	}
	p.cited = &cited.Entry
	own := cited.Of(p.log.verifier)
	if own || !cited.Certain {
		if err := p.filtered(ctx); err != nil || own || p.verdict == proved {
			return err
		}
	}
	p.other, p.entry, p.looked, p.by = cited.Log, nil, nil, nil
	return p.end(unproved, "other-log")
}

// toldLog is the address of the log that the resolver tells (RFC 9606), by the way that the
// question went.
func (c *queryCmd) toldLog(ctx context.Context) (string, error) {
	q, err := c.question("resolver.arpa", "RESINFO")
	if err != nil {
		return "", err
	}
	a, err := c.ask(ctx, c.Server, q)
	if err != nil {
		return "", err
	}
	for _, rr := range a.reply.Answer {
		for data := rr.Data; rr.Type == dns.TypeRESINFO && len(data) > 0; {
			n := 1 + int(data[0])
			if n > len(data) {
				break
			}
			if log, ok := strings.CutPrefix(string(data[1:n]), "temp-log="); ok {
				return log, nil
			}
			data = data[n:]
		}
	}
	return "", errors.New("the resolver tells of no log (RESINFO of resolver.arpa): name it with --log, and its --key")
}

// find looks a subject up and notes what was found.
func (p *prover) find(ctx context.Context, s curate.Subject) (*lookedUp, error) {
	found, err := p.log.find(ctx, s, true)
	if err == nil {
		p.looked = append(p.looked, found)
	}
	return found, err
}

// lists reports whether a finding is what the answer cites, and takes it for the proof.
func (p *prover) lists(found *lookedUp) bool {
	l := found.answer.Listing()
	if l == nil || p.cited != nil && l.Entry != *p.cited {
		return false
	}
	p.by = found
	return true
}

// endListed ends by a finding that lists, with its entry.
func (p *prover) endListed(ctx context.Context, found *lookedUp, verdict, why string) error {
	if err := p.read(ctx, found.answer.Listing().Entry); err != nil {
		return err
	}
	return p.end(verdict, why)
}

// filtered proves that a filtered answer is right: the name, or what it leads to, is listed by
// the entry that it names.
func (p *prover) filtered(ctx context.Context) error {
	found, err := p.find(ctx, p.subject)
	if err != nil {
		return err
	}
	if p.lists(found) {
		return p.endListed(ctx, found, proved, "filtered")
	}
	if p.cited != nil {
		if *p.cited >= p.log.tip.Size {
			return p.endUnlessNew("no-entry")
		}
		if err := p.read(ctx, *p.cited); err != nil {
			return err
		}
		if p.entry.Kind != ledger.KindList {
			return p.end(refuted, "no-listing")
		}
		if inForce, err := p.inForce(ctx); err != nil {
			return err
		} else if !inForce {
			return p.endUnlessNew("not-in-force")
		}
		if p.covers() {
			return p.end(proved, "filtered")
		}
	}
	return p.leads(ctx)
}

// read reads an entry with the proof that the log holds it.
func (p *prover) read(ctx context.Context, n uint64) (err error) {
	if p.raw, err = ledger.ReadRaw(ctx, p.log.src, p.log.tip, n); err != nil {
		return err
	}
	if p.entry, err = ledger.Parse(p.raw); err != nil {
		return &ledger.EntryError{Index: n, Err: err}
	}
	p.path, err = inclusion(ctx, p.log.src, p.log.tip, n)
	return err
}

// inForce reports whether the list in force has what the cited entry lists by it. Of what a
// commitment hides, that is seen when something opens it.
func (p *prover) inForce(ctx context.Context) (bool, error) {
	var s curate.Subject
	switch e := p.entry; {
	case e.Prefix.IsValid():
		s = curate.Subject{Prefix: e.Prefix, Scope: feed.Prefix}
	case e.Name == "":
		return true, nil
	default:
		name, err := dns.ParseName(e.Name)
		if err != nil {
			return false, &ledger.EntryError{Index: *p.cited, Err: err}
		}
		s = curate.Subject{Name: name, Scope: feed.Exact}
	}
	found, err := p.find(ctx, s)
	if err != nil {
		return false, err
	}
	for _, probe := range found.answer.Probes {
		if probe.Listed && probe.Entry == *p.cited {
			p.by = found
			return true, nil
		}
	}
	return false, nil
}

// covers reports whether what the cited entry lists is the name that was asked or above it.
func (p *prover) covers() bool {
	e := p.entry
	return e.Name != "" && (e.Name == p.name || e.Scope == ledger.ScopeSubtree && strings.HasSuffix(p.name, "."+e.Name))
}

// leads asks the twin what the name leads to, and looks that up.
func (p *prover) leads(ctx context.Context) error {
	if p.c.Twin == "" {
		return p.end(unproved, "leads")
	}
	q, err := p.c.question(p.name, p.answer.reply.Question[0].Type.String())
	if err != nil {
		return err
	}
	a, err := p.c.ask(ctx, p.c.Twin, q)
	if err != nil {
		return err
	}
	all := led(a.reply)
	if len(all) > maxLed {
		return p.end(unproved, "many")
	}
	for _, s := range all {
		found, err := p.find(ctx, s)
		if err != nil {
			return err
		}
		if p.lists(found) {
			return p.endListed(ctx, found, proved, "filtered-for")
		}
	}
	return p.endUnlessNew("leads-nowhere")
}

// unfiltered proves that neither the name nor what its answer leads to is listed.
func (p *prover) unfiltered(ctx context.Context) error {
	all := led(p.answer.reply)
	if len(all) > maxLed {
		return p.end(unproved, "many")
	}
	for _, s := range append([]curate.Subject{p.subject}, all...) {
		found, err := p.find(ctx, s)
		if err != nil {
			return err
		}
		if p.lists(found) {
			return p.endListed(ctx, found, passed, "passed")
		}
	}
	return p.end(proved, "absent")
}

// endUnlessNew ends with a fault, unless the list is so new that the resolver may not have it.
func (p *prover) endUnlessNew(why string) error {
	if time.Since(p.log.epoch.Time) < settling {
		return p.end(unproved, "new")
	}
	return p.end(refuted, why)
}

// led are the names and addresses that an answer leads to.
func led(m *dns.Message) (out []curate.Subject) {
	seen := map[string]bool{}
	add := func(s curate.Subject) {
		if text := s.String(); !seen[text] {
			seen[text] = true
			out = append(out, s)
		}
	}
	for _, rr := range m.Answer {
		switch rr.Type {
		case dns.TypeCNAME, dns.TypeDNAME, dns.TypeSVCB, dns.TypeHTTPS:
			if target, ok := rr.Target(); ok && target != dns.Root {
				add(curate.Subject{Name: target.Canonical(), Scope: feed.Exact})
			}
		}
		for a := range rr.Addrs() {
			a = a.Unmap()
			add(curate.Subject{Prefix: netip.PrefixFrom(a, a.BitLen()), Scope: feed.Prefix})
		}
	}
	return out
}

// object is the proof for a machine.
func (p *proof) object() map[string]any {
	out := map[string]any{"verdict": p.verdict, "why": p.why}
	if p.err != nil {
		out["error"] = p.err.Error()
	}
	if p.cited != nil {
		out["cited_entry"] = *p.cited
	}
	if p.other != "" {
		out["cited_log"] = p.other
	}
	if p.log != nil {
		out["log"], out["key"], out["key_from"], out["checkpoint"] = p.log.address, p.log.key, p.log.from, string(p.log.tip.Raw)
	}
	if p.entry != nil {
		out["entry"] = map[string]any{"raw": string(p.raw), "proof": append([]string{}, p.path...)}
	}
	looked := []any{}
	for _, l := range p.looked {
		looked = append(looked, l.object())
	}
	out["lookups"] = looked
	return out
}

// words are the proof for people.
func (p *proof) words(lang string) string {
	if p == nil {
		return ""
	}
	w := proveWords[lang]
	var b strings.Builder
	through := ""
	if p.by != nil {
		through = p.by.asked
	}
	fmt.Fprintf(&b, "%s %s\n", w[p.verdict], strings.NewReplacer("{name}", p.name, "{by}", printable(through), "{log}", printable(p.other)).Replace(w[p.why]))
	if p.err != nil {
		b.WriteString("  " + printable(p.err.Error()) + "\n")
	}
	if p.entry != nil {
		b.WriteString(p.entryWords(w))
	}
	if p.log == nil || len(p.looked) == 0 {
		return b.String()
	}
	const stamp = "2006-01-02 15:04:05 MST"
	l, more := p.log, lookupWords[lang]
	fmt.Fprintf(&b, "  "+more["force"]+"\n", l.epoch.Entry, l.epoch.Time.Format(stamp), l.epoch.Count)
	probes, octets := 0, 0
	for _, found := range p.looked {
		for _, probe := range found.answer.Probes {
			probes, octets = probes+1, octets+len(probe.Proof)
		}
	}
	fmt.Fprintf(&b, "  "+more["proof"]+"\n", probes, octets, printable(l.key)+more["key-"+l.from])
	switch {
	case !l.remote:
		b.WriteString("  " + more["here"] + "\n")
	case p.entry != nil:
		fmt.Fprintf(&b, "  "+w["shown-entry"]+"\n", printable(l.address))
	default:
		fmt.Fprintf(&b, "  "+w["shown"]+"\n", printable(l.address), len(p.looked))
	}
	return b.String()
}

// entryWords is the log's entry in words.
func (p *proof) entryWords(w map[string]string) string {
	e, n := p.entry, p.number()
	var b strings.Builder
	subject := e.Name
	switch {
	case e.Prefix.IsValid():
		subject = e.Prefix.String()
	case e.Name == "":
		subject = w["committed"]
	case e.Scope == ledger.ScopeSubtree:
		subject = "*." + subject
	}
	const day = "2006-01-02 15:04:05 MST"
	if e.Kind != ledger.KindList {
		fmt.Fprintf(&b, "  "+w["other-entry"]+"\n", n, e.Time.Format(day), e.Kind)
	} else {
		fmt.Fprintf(&b, "  "+w["entry"]+"\n", n, e.Time.Format(day), subject, e.Clause)
	}
	for _, ev := range e.Evidence {
		fmt.Fprintf(&b, "    %s\n", printable(evidenceInWords(policy.Evidence{Evidence: ev})))
	}
	fmt.Fprintf(&b, "  "+w["inclusion"]+"\n", n, p.log.tip.Size, printable(p.log.tip.Origin), len(p.path))
	return b.String()
}

// number is that of the entry.
func (p *proof) number() uint64 {
	if p.cited != nil {
		return *p.cited
	}
	return p.by.answer.Listing().Entry
}
