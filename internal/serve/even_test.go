package serve

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// checkEven demands that a face of two views answers as the view does that it shows.
func checkEven(t *rapid.T, e *Even, s *Server, q *dns.Query) {
	want := s.Miss(context.Background(), q, []byte("before"))
	if got := e.Miss(context.Background(), q, []byte("before")); !bytes.Equal(got, want) {
		t.Fatalf("%q, not %q", got, want)
	}
	want, known := s.Hit(q, []byte("before"))
	if got, ok := e.Hit(q, []byte("before")); ok != known || !bytes.Equal(got, want) {
		t.Fatalf("%q (%t), not %q (%t)", got, ok, want, known)
	}
}

// What is dropped is in no count, does not allocate, and asks nobody.
func TestWhatIsDroppedLeavesNoTrace(t *testing.T) {
	v := newViews(t, "evil.example")
	v.zone("evil.example. a\nevil.example. 60 IN A 192.0.2.1")
	f, u := NewEven(v.filtered, v.twin)
	q := parse(t, "evil.example A edns")
	out := make([]byte, 0, 2*1232)
	if _, ok := u.Hit(q, out); ok {
		t.Fatal("the unfiltered view has what nobody asked for")
	}
	if _, ok := f.Hit(q, out); ok {
		t.Error("a listed name that nobody asked for is answered at once")
	}
	f.Miss(t.Context(), q, out)
	if n := v.asked.Load(); n != 0 {
		t.Errorf("the filtered view asked others %d times", n)
	}
	if n := v.filtered.Filtered(); n != 1 {
		t.Errorf("%d answers filtered", n)
	}
	u.Miss(t.Context(), q, out)
	u.Hit(q, out)
	if n := v.filtered.Filtered(); n != 1 {
		t.Errorf("%d answers filtered, with those that nobody got", n)
	}
	for _, e := range []*Even{f, u} {
		if n := testing.AllocsPerRun(100, func() { e.Hit(q, out) }); n != 0 {
			t.Errorf("a hit allocates %v times", n)
		}
	}
}

// A listed name that is new takes as long in the filtered view as others took; it is asked for
// nowhere, and is new again after a while.
func TestANewListedNameTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newViews(t, "evil.example")
		v.zone("www.shop.example a\nwww.shop.example. 60 IN A 192.0.2.1\n\nevil.example a\nevil.example. 60 IN A 192.0.2.2")
		slow := &slowInternet{v.internet, 40 * time.Millisecond}
		filtered, twin := v.filtered.cfg, v.twin.cfg
		filtered.Resolver, twin.Resolver, filtered.Now, twin.Now = slow, slow, time.Now, time.Now
		f, u := NewEven(New(filtered), New(twin))
		takes := func(e *Even, question string) time.Duration {
			q := parse(t, question)
			before := time.Now()
			if _, ok := e.Hit(q, nil); !ok {
				e.Miss(t.Context(), q, nil)
			}
			return time.Since(before)
		}
		for i, step := range []struct {
			e        *Even
			question string
			want     time.Duration
			pass     time.Duration
		}{
			{f, "evil.example A", 0, 0}, // nobody was asked about anything yet
			{f, "www.shop.example A", slow.takes, 0},
			{f, "evil.example A", 0, coverTime},
			{f, "evil.example A", slow.takes, 0},
			{f, "evil.example A", 0, 0},
			{f, "below.evil.example A", slow.takes, 0}, // not listed: the listing is exact
			{f, "evil.example TXT", slow.takes, 0},
			{u, "evil.example A", slow.takes, 0},
			{u, "evil.example A", 0, 0},
		} {
			asked := v.asked.Load()
			if got := takes(step.e, step.question); got != step.want {
				t.Errorf("step %d, %s: %v, not %v", i, step.question, got, step.want)
			}
			if step.e == f && strings.HasPrefix(step.question, "evil") && v.asked.Load() != asked {
				t.Errorf("step %d, %s: others were asked", i, step.question)
			}
			time.Sleep(step.pass)
		}
	})
}

// What the filtered view filters, nobody is asked about, nor has it renewed because the
// unfiltered view is asked as well; who is shown the unfiltered view has it renewed.
func TestWhatIsDroppedIsNotRenewed(t *testing.T) {
	for _, stale := range []Stale{rfc8767, {MaxAge: DefaultMaxAge, AnswerTTL: DefaultAnswerTTL}} {
		inShop(t, stale, func(s *shop, v *Server) {
			f, u := NewEven(s.filtered, s.twin)
			s.learned(s.twin, 95*time.Second)
			s.live.Swap(listOf(s.T, "www.shop"))
			shown := map[bool]*Even{true: f, false: u}[v == s.filtered]
			q := parse(s.T, askWWW)
			for _, age := range []time.Duration{0, 10 * time.Second} { // shortly before its end, and past it
				time.Sleep(age)
				before := s.in.Queries()
				if _, ok := shown.Hit(q, nil); !ok {
					shown.Miss(s.Context(), q, nil)
				}
				time.Sleep(3 * time.Second)
				if asked := s.in.Queries() != before; asked != (shown == u && age == 0) {
					s.Errorf("others were asked: %t", asked)
				}
			}
		})
	}
}

// Two that ask for one new name at one time both wait: the second does not learn from a quick answer
// that the list decided. Each is counted once.
func TestWhoAsksMeanwhileWaitsAsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newViews(t, "evil.example")
		v.zone("www.shop.example a\nwww.shop.example. 60 IN A 192.0.2.1")
		cfg, twin := v.filtered.cfg, v.twin.cfg
		cfg.Resolver, cfg.Now, twin.Now = &slowInternet{v.internet, 40 * time.Millisecond}, time.Now, time.Now
		counting := New(cfg)
		f, _ := NewEven(counting, New(twin))
		f.Miss(t.Context(), parse(t, "www.shop.example A"), nil)
		begun := time.Now()
		ended := make(chan time.Duration)
		for i := range 2 {
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				q := parse(t, "evil.example A")
				if _, ok := f.Hit(q, nil); !ok {
					f.Miss(t.Context(), q, nil)
				}
				ended <- time.Since(begun)
			}()
		}
		for i := range 2 {
			if got, want := <-ended, time.Duration(40+i)*time.Millisecond; got != want {
				t.Errorf("%v, not %v", got, want)
			}
		}
		if n := counting.Filtered(); n != 2 {
			t.Errorf("%d answers filtered, of 2", n)
		}
		q := parse(t, "other.example A")
		v.live.Swap(listOf(t, "other.example"))
		f.Hit(q, nil)
		f.lag.covered.note(q, time.Now()) // while it waited for a place
		if f.Miss(t.Context(), q, nil); counting.Filtered() != 3 {
			t.Errorf("%d answers filtered, of 3", counting.Filtered())
		}
	})
}

// What is filtered is counted once, whatever becomes of the query between what memory says and what the network does:
// another one had the name covered, or a local alias leads to what is listed.
func TestFilteredIsCountedOnce(t *testing.T) {
	v := newLocalViews(t, "alias.example static\nalias.example. 60 IN CNAME evil.example.", "evil.example", "alias.example")
	cfg := v.filtered.cfg
	cfg.Cover = NewCover(&renewals{internet: v.internet})
	counting := New(cfg)
	f, _ := NewEven(counting, v.twin)
	for i, between := range []func(q *dns.Query){
		func(*dns.Query) {},
		func(q *dns.Query) { cfg.Cover.covered.note(q, v.now) },
		func(q *dns.Query) { f.lag.covered.note(q, v.now) },
	} {
		for _, question := range []string{"evil.example A", "evil.example ANY", "alias.example A"} {
			before := counting.Filtered()
			q := parse(t, question)
			if _, ok := f.Hit(q, nil); !ok {
				between(q)
				f.Miss(t.Context(), q, nil)
			}
			if n := counting.Filtered() - before; n != 1 {
				t.Errorf("%d, %s: counted %d times", i, question, n)
			}
			v.now = v.now.Add(2 * coverTime)
		}
	}
}

// slowInternet takes its time.
type slowInternet struct {
	*internet
	takes time.Duration
}

func (s *slowInternet) Resolve(ctx context.Context, name dns.Name, t dns.Type) *answer.Answer {
	time.Sleep(s.takes)
	return s.internet.Resolve(ctx, name, t)
}
