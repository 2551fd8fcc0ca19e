package evidence

import (
	"errors"
	"testing"
)

// A trial sees what it does, goes on after a step that fails, and leaves nothing behind.
func TestATrialLeavesNothing(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		refreshed(t, s, "a", day(0), "one.example")
		before := dump(t, s.Since(t.Context(), 0))
		ended := errors.New("ended")
		err := s.Trial(t.Context(), func(s *Store) error {
			refreshed(t, s, "b", day(1), "two.example")
			_, err := s.Refresh(t.Context(), Reading{Source: "b", At: day(2)}, func(yield func(Claim, error) bool) {
				says("three.example")(yield)
				yield(Claim{}, ended)
			})
			if !errors.Is(err, ended) {
				t.Errorf("a step that fails: %v", err)
			}
			want(t, dump(t, s.Since(t.Context(), 0)), `
one.example a c2 03-01..03-01
two.example b c2 03-02..03-02
`)
			return s.SetMemo(t.Context(), "far", "2")
		})
		if err != nil {
			t.Fatal(err)
		}
		want(t, dump(t, s.Since(t.Context(), 0)), before)
		if memo, err := s.Memo(t.Context(), "far"); memo != "" || err != nil {
			t.Errorf("the trial left %q, %v", memo, err)
		}
	})
}

// A person's word stands beside what he said before, and takes back what it takes back.
func TestAPersonSays(t *testing.T) {
	both(t, func(t *testing.T, address string) {
		s := mustOpen(t, address)
		word := func(n int, kind string, unsaid ...string) {
			c := Claim{Subject: Subject{"one.example", "exact"}, Kind: kind}
			if err := s.Say(t.Context(), "operator", day(n), []Claim{c}, unsaid...); err != nil {
				t.Fatal(err)
			}
		}
		word(0, "appeal-granted")
		word(1, "confirmed")
		want(t, dump(t, s.Since(t.Context(), 1)), `
one.example operator appeal-granted 03-01..03-01
one.example operator confirmed 03-02..03-02
`)
		word(2, "appeal-granted", "confirmed")
		want(t, dump(t, s.Since(t.Context(), 2)), "one.example operator appeal-granted 03-03..03-03\n")
		for _, memo := range []string{"a", "b"} {
			if err := s.SetMemo(t.Context(), "x", memo); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Memo(t.Context(), "x"); got != memo || err != nil {
				t.Errorf("noted %q, not %q: %v", got, memo, err)
			}
		}
		want(t, dump(t, s.OfKinds(t.Context(), "appeal-granted", "c2")), "one.example operator appeal-granted 03-03..03-03\n")
		for text, err := range s.Subjects(t.Context()) {
			if text != "one.example" || err != nil {
				t.Error(text, err)
			}
		}
	})
}
