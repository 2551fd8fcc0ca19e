package scenario

import (
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// expect waits for a query that the resolver is to send. It returns the number of the next step:
// queries may have moved the story on by themselves.
func (g *game) expect(i int, s *Step) (int, error) {
	p := g.script
	for end := time.Now().Add(queryWait); ; time.Sleep(poll) {
		p.mu.Lock()
		now := p.now
		if now == i {
			at := slices.IndexFunc(p.pending, func(h *held) bool { return s.expects(&h.asked, g.story.Dialect) })
			if at >= 0 {
				h := p.pending[at]
				if s.Entry.Adjust["copy_id"] {
					p.pending = slices.Delete(p.pending, at, at+1)
					h.replies <- s.Entry.deliveries(&h.asked)
				}
				p.moveTo(i + 1)
				now = p.now
			}
		}
		p.mu.Unlock()
		if now > i {
			return now, nil
		}
		if time.Now().After(end) {
			return i, fmt.Errorf("step %d: the resolver did not ask %s", s.ID, question(s.Entry.first()).Name)
		}
	}
}

// reply answers a held query.
func (g *game) reply(i int, s *Step) error {
	if s.Entry == nil {
		return unreadable(fmt.Sprintf("step %d: a REPLY without an entry", s.ID))
	}
	taken := g.take(s.Entry.first())
	if taken == nil {
		return fmt.Errorf("step %d: no query to reply to", s.ID)
	}
	g.moveTo(i + 1)
	for _, h := range taken {
		h.replies <- s.Entry.deliveries(&h.asked)
	}
	return nil
}

// take takes a held query, and its repetitions, off the script: one with the question of like, or
// else the oldest.
func (g *game) take(like *dns.Msg) []*held {
	p := g.script
	for end := time.Now().Add(queryWait); time.Now().Before(end); time.Sleep(poll) {
		g.Settle()
		p.mu.Lock()
		var first *held
		for _, h := range p.pending {
			if like != nil && len(like.Question) > 0 && question(like) == lowered(question(h.msg)) {
				first = h
				break
			}
		}
		patient := like != nil && len(like.Question) > 0 && time.Until(end) > queryWait/2
		if first == nil && len(p.pending) > 0 && !patient {
			first = p.pending[0]
		}
		var taken []*held
		if first != nil {
			p.pending = slices.DeleteFunc(p.pending, func(h *held) bool {
				same := h.addr == first.addr && h.question() == first.question()
				if same {
					taken = append(taken, h)
				}
				return same
			})
		}
		p.mu.Unlock()
		if taken != nil {
			return taken
		}
	}
	return nil
}

func lowered(q dns.Question) dns.Question {
	q.Name = dns.CanonicalName(q.Name)
	return q
}
