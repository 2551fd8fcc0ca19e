package court

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/staff"
)

// waiting is a court in which the policy wants a person's word on one.example, a popular name.
func waiting(c *court) {
	c.t.Helper()
	c.say("ranks", append([]string{"one.example"}, manyPopular()...)...)
	c.say("a", "one.example", "two.example")
	c.say("b", "one.example", "two.example")
	c.update()
	c.filtered("two.example")
}

// found has the docket find out what waits, however long that takes here.
func (c *court) found() *docket.Reviews {
	c.t.Helper()
	r, err := c.docket.Reviews(c.t.Context(), time.Hour)
	if err != nil || r == nil {
		c.t.Fatalf("%+v, %v", r, err)
	}
	return r
}

// manyPopular are so many that one of them is no share of theirs that the policy holds back.
func manyPopular() (names []string) {
	for i := range 2000 {
		names = append(names, fmt.Sprintf("popular-%d.example", i))
	}
	return names
}

// What the policy wants a person's word on stands in the staff's queue although nobody appealed, and two members
// who agree list it.
func TestStaffConfirmsWhatWaits(t *testing.T) {
	both(t, func(c *court) {
		waiting(c)
		o := c.office(staff.OpenID{})
		ann, _ := o.joins("Ann", o.invitation())
		bob, _ := o.joins("Bob", o.invitation())
		c.found()
		if _, body, _ := ann.get("/staff"); !strings.Contains(body, `/staff/review">wait for a person`) || !strings.Contains(body, "<dd>1</dd>") {
			t.Errorf("the queue does not tell of it:\n%s", body)
		}
		_, body, _ := ann.get("/ja/staff/review")
		if !strings.Contains(body, `/ja/staff/review/one?subject=one.example`) || strings.Contains(body, "two.example") {
			t.Errorf("%s", body)
		}
		page := "/staff/review/one?subject=one.example"
		_, body, _ = ann.get(page)
		for _, want := range []string{"popular", "<td>ranks</td>", "<td>a</td>", "<td>b</td>", "2 members of staff who agree"} {
			if !strings.Contains(body, want) {
				t.Errorf("no %q in\n%s", want, body)
			}
		}
		say := func(v *visitor, verdict, reason string) int {
			status, _, _ := v.post("/staff/review/one", url.Values{"subject": {"one.example"}, "verdict": {verdict}, "reason": {reason}})
			return status
		}
		for _, bad := range [][2]string{{"", "why"}, {docket.Confirmed, ""}, {"delisted", "why"}, {docket.Confirmed, "turned\u202earound"}} {
			if status := say(ann, bad[0], bad[1]); status != http.StatusUnprocessableEntity {
				t.Errorf("%q: %d", bad, status)
			}
		}
		for _, step := range []struct {
			who     *visitor
			verdict string
		}{{ann, docket.Confirmed}, {ann, docket.Confirmed}, {bob, docket.Rejected}} {
			if status := say(step.who, step.verdict, "<i>because</i>"); status != http.StatusSeeOther {
				t.Errorf("%d", status)
			}
			c.filtered("two.example")
		}
		if _, body, _ := bob.get(page); !strings.Contains(body, "&lt;i&gt;because") || !strings.Contains(body, "Ann,") || strings.Contains(body, "<i>") {
			t.Errorf("the votes are not shown:\n%s", body)
		}
		if status := say(bob, docket.Confirmed, "I was wrong."); status != http.StatusSeeOther {
			t.Errorf("%d", status)
		}
		c.filtered("one.example", "two.example")
		if status := say(bob, docket.Rejected, "Or not."); status != http.StatusNotFound {
			t.Errorf("what was decided is voted on: %d", status)
		}
		if status, _, _ := ann.get(page); status != http.StatusNotFound {
			t.Errorf("%d", status)
		}
		c.found()
		if _, body, _ := ann.get("/staff/review"); !strings.Contains(body, "Nothing waits.") {
			t.Errorf("%s", body)
		}
		if _, body, _ := ann.get("/staff/trail"); strings.Count(body, "<td>reviewed</td>") < 4 || !strings.Contains(body, "confirmed: I was wrong.") {
			t.Errorf("%s", body)
		}
		if n := c.count("docket_review", "true"); n != 0 {
			t.Errorf("%d votes are left", n)
		}
	})
}

// Where more would change than the policy lets through unseen, the word is kept, and staff is told.
func TestAWordThatIsHeldBack(t *testing.T) {
	c := open(t, t.TempDir()+"/desk.db")
	c.say("ranks", "one.example") // half of the popular names
	c.say("a", "one.example")
	c.say("b", "one.example")
	c.update()
	o := c.office(staff.OpenID{})
	var status int
	var body string
	for _, name := range []string{"Ann", "Bob"} {
		v, _ := o.joins(name, o.invitation())
		status, body, _ = v.post("/staff/review/one", url.Values{"subject": {"one.example"}, "verdict": {docket.Confirmed}, "reason": {"It is."}})
	}
	if status != http.StatusConflict || !strings.Contains(body, "Nothing came into force yet") || c.count("docket_review", "true") != 0 {
		t.Errorf("%d %s", status, body)
	}
	c.filtered()
	if _, err := c.loop.Update(t.Context(), curate.UpdateOptions{Confirm: true}); err != nil {
		t.Fatal(err)
	}
	c.filtered("one.example")
}

// A word against it spares the name, until the clause asks no more; votes of who left do not count, and those
// who are not staff have none.
func TestAWordAgainstWhatWaits(t *testing.T) {
	both(t, func(c *court) {
		waiting(c)
		o := c.office(staff.OpenID{})
		stranger := o.browser()
		if status, _, _ := stranger.get("/staff/review"); status != http.StatusSeeOther {
			t.Errorf("%d", status)
		}
		if status, _, _ := stranger.post("/staff/review/one", url.Values{"subject": {"one.example"}, "verdict": {docket.Confirmed}, "reason": {"x"}}); status != http.StatusForbidden {
			t.Errorf("%d", status)
		}
		d, ctx := c.docket, t.Context()
		say := func(member, verdict string, want bool) {
			t.Helper()
			if decided, err := d.Say(ctx, "one.example", member, verdict, "Because."); err != nil || decided != want {
				t.Errorf("%s: %v, %v", member, decided, err)
			}
		}
		say("ann", docket.Rejected, false)
		if err := d.Disqualify(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
		say("bob", docket.Rejected, false)
		say("cat", docket.Rejected, true)
		c.filtered("two.example")
		c.later(time.Hour)
		c.update()
		c.filtered("two.example")
		for _, subject := range []string{"one.example", "two.example", "nothing.example", "no such name", ""} {
			if _, err := d.Say(ctx, subject, "ann", docket.Confirmed, "Because."); err == nil {
				t.Errorf("%q: a word was taken that nobody asked for", subject)
			}
		}
		// What waits is found out anew when evidence changes, and not before.
		c.say("ranks", append([]string{"three.example"}, manyPopular()...)...)
		c.say("a", "three.example")
		c.say("b", "three.example")
		c.later(time.Hour)
		c.update()
		r := c.found()
		if r.Total != 1 || !slices.Equal([]string{r.All[0].Subject}, []string{"three.example"}) {
			t.Fatalf("%+v", r)
		}
		if again, err := d.Reviews(ctx, 0); err != nil || again != r {
			t.Errorf("found out again: %+v, %v", again, err)
		}
	})
}
