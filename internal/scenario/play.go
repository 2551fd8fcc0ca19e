package scenario

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	wire "github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/serve"
)

// Status is how a story ended.
type Status string

// How a story ends.
const (
	Pass  Status = "PASS"
	Core  Status = "CORE"
	Fail  Status = "FAIL"
	Skip  Status = "SKIP"
	Error Status = "ERROR"
)

// Report is what came of a story.
type Report struct {
	Status  Status
	Why     string // the first difference, or why it was not played
	Queries int    // sent to servers
}

// How long things are waited for, in the story's time.
const (
	answerWait = 10 * time.Second // for an answer; a request may take 9 s
	queryWait  = 4 * time.Second  // for a query that the resolver is to send
	poll       = 10 * time.Millisecond
)

// Player plays stories. It must be called inside of a testing/synctest bubble.
type Player struct {
	Settle func()                                        // synctest.Wait
	List   func(subjects []string) (*filter.List, error) // compiles what a story lists; nil: such stories are skipped
	Dir    string                                        // an empty folder for files that a story brings along
	Trace  io.Writer                                     // where queries and answers are told; may be nil
}

// skipped is why a story cannot be played.
type skipped string

func (s skipped) Error() string { return string(s) }

// game is a story being played.
type game struct {
	*Player
	story     *Scenario
	script    *script
	server    *serve.Server
	refresher *serve.Refresher
	ctx       context.Context
	weak      string // the first difference that is not of the core

	mu      sync.Mutex
	waiting int // client queries without an answer
	answers []answered
}

type answered struct {
	msg  *dns.Msg
	wire []byte
}

// Play plays a story from its start to its end.
func (p *Player) Play(s *Scenario) Report {
	g := &game{Player: p, story: s}
	err := g.play()
	r := Report{Status: Pass}
	if g.script != nil {
		r.Queries = g.script.queries
	}
	switch err := err.(type) {
	case nil:
		if g.weak != "" {
			r.Status, r.Why = Core, g.weak
		}
	case skipped:
		r.Status, r.Why = Skip, err.Error()
	case unreadable:
		r.Status, r.Why = Error, err.Error()
	default:
		r.Status, r.Why = Fail, err.Error()
	}
	return r
}

// unreadable is a fault of the file.
type unreadable string

func (u unreadable) Error() string { return string(u) }

// defaultDate is when a story takes place that does not say so.
var defaultDate = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func (g *game) play() error {
	for _, s := range g.story.Steps {
		switch {
		case s.Macro != "":
			return skipped("a step computes " + s.Macro)
		case s.Entry != nil && s.Entry.Fault != "" && s.Entry.Messages[0].Wire == nil:
			return unreadable(s.Entry.Fault)
		}
	}
	if g.story.has("CHECK_AUTOTRUST", "CHECK_TEMPFILE", "ASSIGN", "INFRA_RTT", "FLUSH_MESSAGE", "EXPIRE_MESSAGE") {
		return skipped("a step looks into another implementation")
	}
	if g.story.needsNewKeys() {
		g.story.resign()
	}
	date, _ := g.story.date()
	if date.IsZero() {
		date = defaultDate
	}
	time.Sleep(time.Until(date))
	var cancel context.CancelFunc
	g.ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	if err := g.open(); err != nil {
		return err
	}
	defer g.refresher.Close()
	for i := 0; i < len(g.story.Steps); {
		next, err := g.step(i)
		if err != nil {
			return err
		}
		i = next
	}
	return nil
}

// moveTo makes a step the script's current one.
func (g *game) moveTo(i int) {
	g.script.mu.Lock()
	defer g.script.mu.Unlock()
	g.script.moveTo(i)
}

// step plays step number i and returns the number of the next.
func (g *game) step(i int) (next int, err error) {
	s := g.story.Steps[i]
	g.moveTo(i)
	g.script.logf("step %d %s", s.ID, s.Kind)
	switch s.Kind {
	case "QUERY":
		return i + 1, g.query(i, s)
	case "CHECK_ANSWER":
		return i + 1, g.check(s)
	case "CHECK_OUT_QUERY":
		if g.story.Dialect == Deckard {
			return i + 1, nil
		}
		return g.expect(i, s)
	case "REPLY":
		if g.story.Dialect == Deckard {
			return i + 1, nil
		}
		return i + 1, g.reply(i, s)
	case "TIMEOUT", "ERROR":
		if g.take(nil) == nil {
			return i, fmt.Errorf("step %d: no query to let go unanswered", s.ID)
		}
	case "TIME_PASSES":
		g.rest()
		time.Sleep(s.Elapse)
	case "NOTHING", "TRAFFIC":
		g.rest()
	default:
		return i, skipped("step " + s.Kind)
	}
	return i + 1, nil
}

// rest waits until every client has its answer, or waits for a step of the story.
func (g *game) rest() {
	for end := time.Now().Add(answerWait); time.Now().Before(end); time.Sleep(poll) {
		g.Settle()
		g.mu.Lock()
		busy := g.waiting > 0
		g.mu.Unlock()
		g.script.mu.Lock()
		stuck := len(g.script.pending) > 0
		g.script.mu.Unlock()
		if !busy || stuck {
			return
		}
	}
}

// query sends a client's query. In Deckard's dialect its answer comes before the next step.
func (g *game) query(i int, s *Step) error {
	if s.Entry == nil {
		return unreadable(fmt.Sprintf("step %d: a QUERY without an entry", s.ID))
	}
	packet, err := s.packet(g.story.Dialect)
	if err != nil {
		return unreadable(err.Error())
	}
	if g.story.Dialect == Unbound {
		if i > 0 && g.story.Steps[i-1].Kind == "QUERY" {
			g.Settle()
		}
		g.moveTo(i + 1)
		go g.ask(packet, s.Entry.Match["TCP"])
		g.mu.Lock()
		g.waiting++
		g.mu.Unlock()
		return nil
	}
	g.mu.Lock()
	g.answers = nil
	g.waiting++
	g.mu.Unlock()
	go g.ask(packet, s.Entry.Match["TCP"])
	if s.Entry.IsRaw && i+1 < len(g.story.Steps) && g.story.Steps[i+1].Kind != "CHECK_ANSWER" {
		return nil
	}
	g.rest()
	return nil
}

// packet is a QUERY's octets.
func (s *Step) packet(d Dialect) ([]byte, error) {
	m := s.Entry.Messages[0]
	switch {
	case s.Entry.IsRaw:
		return s.Entry.Raw, nil
	case m.Wire != nil:
		return m.Wire, nil
	}
	q := m.Msg.Copy()
	q.Id = uint16(s.ID)
	if d == Deckard {
		if q.IsEdns0() == nil {
			q.SetEdns0(serverSize, s.Entry.DO)
		}
		q.IsEdns0().SetUDPSize(serverSize)
	}
	return q.Pack()
}

// ask is what package listen does with a packet.
func (g *game) ask(packet []byte, tcp bool) {
	reply := answerTo(g.ctx, g.server, packet, tcp)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
	if reply == nil || g.ctx.Err() != nil {
		return
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		g.script.logf("an answer cannot be read: %v", err)
	}
	g.script.logf("answer: %s", strings.ReplaceAll(m.String(), "\n", "\n    "))
	g.answers = append(g.answers, answered{m, reply})
}

// answerTo is the server's reply to a packet; nil where it gives none.
func answerTo(ctx context.Context, s *serve.Server, packet []byte, tcp bool) []byte {
	var q wire.Query
	if err := q.Parse(packet); err != nil {
		if err == error(wire.ErrDrop) {
			return nil
		}
		rcode := wire.RCodeFormatError
		if e, ok := err.(wire.Error); ok {
			rcode = e.RCode()
		}
		return wire.AppendError(nil, &q, rcode)
	}
	if tcp {
		q.MaxReply = dns.MaxMsgSize
	}
	if out, ok := s.Hit(&q, nil); ok {
		return out
	}
	return s.Miss(ctx, &q, nil)
}

// check compares an answer with what the story says.
func (g *game) check(s *Step) error {
	if s.Entry == nil {
		return unreadable(fmt.Sprintf("step %d: a CHECK_ANSWER without an entry", s.ID))
	}
	for end := time.Now().Add(answerWait); ; time.Sleep(poll) {
		g.mu.Lock()
		best, at := g.best(s.Entry)
		waiting := g.waiting
		if best != nil && (len(best.all) == 0 || waiting == 0) && g.story.Dialect == Unbound {
			g.answers = slices.Delete(g.answers, at, at+1)
		}
		g.mu.Unlock()
		switch {
		case best != nil && (len(best.all) == 0 || waiting == 0):
			return g.judge(s, best)
		case waiting == 0, time.Now().After(end):
			return fmt.Errorf("step %d: no answer", s.ID)
		}
	}
}

// best finds the answer that fits best; nil where there is none.
func (g *game) best(e *Entry) (found *differences, at int) {
	for i, a := range g.answers {
		if d := e.compare(a.msg, a.wire, g.story.Dialect); found == nil || d.better(found) {
			found, at = d, i
		}
	}
	return found, at
}

func (g *game) judge(s *Step, d *differences) error {
	if len(d.core) > 0 {
		return fmt.Errorf("step %d: %s", s.ID, strings.Join(d.core, "; "))
	}
	if len(d.all) > 0 && g.weak == "" {
		g.weak = fmt.Sprintf("step %d: %s", s.ID, strings.Join(d.all, "; "))
	}
	return nil
}
