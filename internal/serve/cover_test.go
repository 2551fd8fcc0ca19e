package serve

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// renewals notes what is asked for anew.
type renewals struct {
	*internet
	asked []string
}

func (r *renewals) Refresh(_ context.Context, name dns.Name, t dns.Type, ahead time.Duration) *answer.Answer {
	if ahead < 24*time.Hour {
		panic("an answer from memory would do")
	}
	r.asked = append(r.asked, name.String()+" "+t.String())
	return nil
}

// A node whose upstream is encrypted asks for another name where it has a listed one to answer:
// once in a while for each name and type, and the client waits for that.
func TestCover(t *testing.T) {
	v := newViews(t, listings...)
	v.zone(world)
	r := &renewals{internet: v.internet}
	cfg := v.filtered.cfg
	cfg.Cover = NewCover(r)
	s := New(cfg)
	for i, step := range []struct {
		question string
		hits     bool   // before it was asked for by Miss
		cover    string // that is asked for
		pass     time.Duration
	}{
		{"c2.evil.example A", false, ". NS", 0},                // nothing else was asked for yet
		{"c2.evil.example A", true, "", 0},                     // covered
		{"c2.evil.example AAAA", false, ". NS", 0},             // another question
		{"www.shop.example A", false, "", 0},                   // not listed
		{"www.shop.example A", true, "", coverTime},            // from memory
		{"c2.evil.example A", false, "www.shop.example. A", 0}, // it has been a while
		{"c2.evil.example A", true, "", 0},
	} {
		r.asked = nil
		q := parse(t, step.question)
		if _, ok := s.Hit(q, nil); ok != step.hits || len(r.asked) > 0 {
			t.Errorf("step %d, %s: answered at once %t, asked for %v", i, step.question, ok, r.asked)
		}
		got := s.Miss(t.Context(), q, nil)
		if want := v.filtered.Miss(t.Context(), q, nil); !bytes.Equal(got, want) {
			t.Errorf("step %d, %s: with cover\n%x\nwithout\n%x", i, step.question, got, want)
		}
		if got := len(r.asked) == 1 && r.asked[0] == step.cover; got != (step.cover != "") || len(r.asked) > 1 {
			t.Errorf("step %d, %s: asked for %v, want %q", i, step.question, r.asked, step.cover)
		}
		v.now = v.now.Add(step.pass)
	}
}
