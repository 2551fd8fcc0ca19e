package court

import (
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/docket"
	"github.com/shoji-dns/shoji/internal/evidence"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// A source no longer says it: the policy alone decides, within the hearing of the appeal.
func TestThePolicyDecidesAlone(t *testing.T) {
	both(t, func(c *court) {
		c.say("a", "one.example", "two.example")
		c.say("b", "one.example", "two.example")
		c.update()
		c.filtered("one.example", "two.example")
		c.say("b", "two.example")
		state, one := c.statement(c.submit("one.example"))
		if state != docket.Joined || one.Status != ledger.CaseDelisted || one.ByPeople() || one.Clause != "thin" || len(one.Entries) != 2 {
			t.Errorf("%s %+v", state, one)
		}
		c.filtered("two.example")
		if state, one := c.statement(c.submit("one.example")); state != docket.Unlisted || one != nil {
			t.Errorf("%s %+v", state, one)
		}
		f, err := c.docket.Figures(t.Context())
		if err != nil || f.Open != 0 || f.Ended != 1 || f.Delisted != 1 {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

// The policy stands by its listing: a person decides, further appeals join, and what was decided
// answers who comes again.
func TestAPersonDecides(t *testing.T) {
	both(t, func(c *court) {
		c.say("a", "*.one.example", "two.example")
		c.say("b", "*.one.example", "two.example")
		c.update()
		first, second := c.submit("www.one.example"), c.submit("ONE.example.")
		_, one := c.statement(first)
		_, other := c.statement(second)
		if one.Status != ledger.CaseReferred || one.ID != other.ID || one.Subject() != "*.one.example" || one.Clause != "c2-two-sources" || len(one.Evidence) != 2 || one.People != 1 {
			t.Fatalf("%+v, %+v", one, other)
		}
		said, err := c.docket.Statements(t.Context(), one.ID)
		if err != nil || len(said) != 2 || said[0].Contact != "owner@one.example" || !strings.Contains(said[0].Words, "<b>") {
			t.Errorf("%+v, %v", said, err)
		}
		c.later(time.Hour)
		if one = c.vote(one.ID, "ann", ledger.CaseDelisted); one.Status != ledger.CaseDelisted || one.Note != "Because of ann." || one.Took != time.Hour || !one.ByPeople() {
			t.Errorf("%+v", one)
		}
		c.filtered("two.example")
		c.later(25 * time.Hour)
		c.update()
		c.filtered("two.example")

		third := c.submit("two.example")
		_, two := c.statement(third)
		if two = c.vote(two.ID, "ann", ledger.CaseUpheld); two.Status != ledger.CaseUpheld {
			t.Errorf("%+v", two)
		}
		c.filtered("two.example")
		if state, again := c.statement(c.submit("two.example")); state != docket.Settled || again.ID != two.ID {
			t.Errorf("%s %+v", state, again)
		}
		c.later(31 * 24 * time.Hour)
		c.update()
		if state, again := c.statement(c.submit("two.example")); state != docket.Joined || again.ID == two.ID {
			t.Errorf("%s %+v", state, again)
		}
		open, err := c.docket.Cases(t.Context(), docket.Search{Open: true, Limit: 10})
		if err != nil || len(open) != 1 {
			t.Errorf("%+v, %v", open, err)
		}
		if ended, err := c.docket.Cases(t.Context(), docket.Search{Ended: true, Limit: 10}); err != nil || len(ended) != 2 || ended[0].ID != two.ID {
			t.Errorf("%+v, %v", ended, err)
		}
	})
}

// About a listing that the policy marks two people have to agree, whoever votes how often.
func TestTwoPeopleDecideAboutAPopularName(t *testing.T) {
	both(t, func(c *court) {
		c.say("ranks", "one.example")
		c.say("a", "one.example")
		c.say("b", "one.example")
		confirmed := evidence.Claim{Subject: evidence.Subject{Text: "one.example", Scope: ledger.ScopeExact}, Kind: policy.Confirmed, Reference: "popular"}
		if err := c.store.Say(t.Context(), curate.SourceOperator, c.clock(), []evidence.Claim{confirmed}); err != nil {
			t.Fatal(err)
		}
		c.update()
		c.filtered("one.example")
		_, one := c.statement(c.submit("one.example"))
		if one.Status != ledger.CaseReferred || one.Clause != "popular" || one.People != 2 {
			t.Fatalf("%+v", one)
		}
		for _, v := range []struct{ member, verdict, want string }{
			{"ann", ledger.CaseDelisted, ledger.CaseReferred}, {"ann", ledger.CaseDelisted, ledger.CaseReferred},
			{"bob", ledger.CaseUpheld, ledger.CaseReferred}, {"ann", ledger.CaseUpheld, ledger.CaseUpheld}, {"bob", ledger.CaseDelisted, ledger.CaseUpheld},
		} {
			if one = c.vote(one.ID, v.member, v.verdict); one.Status != v.want {
				t.Errorf("%+v: %+v", v, one)
			}
		}
		if err := c.docket.Disqualify(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		votes, err := c.docket.Votes(t.Context(), one.ID)
		if err != nil || len(votes) != 4 { // what comes after the end is none
			t.Errorf("%+v, %v", votes, err)
		}
		c.filtered("one.example")
	})
}

// Who is no longer staff does not decide, whatever he voted before.
func TestAVoteEndsWithTheMembership(t *testing.T) {
	both(t, func(c *court) {
		c.say("ranks", "one.example")
		c.say("a", "one.example")
		c.say("b", "one.example")
		confirmed := evidence.Claim{Subject: evidence.Subject{Text: "one.example", Scope: ledger.ScopeExact}, Kind: policy.Confirmed, Reference: "popular"}
		if err := c.store.Say(t.Context(), curate.SourceOperator, c.clock(), []evidence.Claim{confirmed}); err != nil {
			t.Fatal(err)
		}
		c.update()
		_, one := c.statement(c.submit("one.example"))
		c.vote(one.ID, "ann", ledger.CaseDelisted)
		if err := c.docket.Disqualify(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		if one = c.vote(one.ID, "bob", ledger.CaseDelisted); one.Status != ledger.CaseReferred {
			t.Errorf("%+v", one)
		}
		if one = c.vote(one.ID, "cat", ledger.CaseDelisted); one.Status != ledger.CaseDelisted {
			t.Errorf("%+v", one)
		}
	})
}

// An appeal that is taken back ends its case, and leaves neither words nor contact.
func TestAnAppealIsTakenBack(t *testing.T) {
	both(t, func(c *court) {
		c.say("a", "one.example")
		c.say("b", "one.example")
		c.update()
		first, second := c.submit("one.example"), c.submit("one.example")
		_, one := c.statement(first)
		for _, receipt := range []string{first, first, second} {
			if err := c.docket.Withdraw(t.Context(), receipt); err != nil {
				t.Fatal(err)
			}
			if _, now := c.statement(second); receipt == first && !now.Open() {
				t.Error("the case ended with another appeal standing")
			}
		}
		now, err := c.docket.Case(t.Context(), one.ID)
		if err != nil || now.Status != ledger.CaseWithdrawn {
			t.Errorf("%+v, %v", now, err)
		}
		if n := c.count("docket_contact", "true"); n != 0 {
			t.Errorf("%d contacts are left", n)
		}
		if n := c.count("docket_statement", "words <> ''"); n != 0 {
			t.Errorf("the words of %d are left", n)
		}
		c.filtered("one.example")
		if err := c.docket.Withdraw(t.Context(), "no-such-receipt"); err == nil {
			t.Error("a receipt that is none was taken")
		}
	})
}

func (c *court) count(table, where string) (n int) {
	c.t.Helper()
	if err := c.db.Row(c.t.Context(), `SELECT COUNT(*) FROM `+table+` WHERE `+where).Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// What is kept no longer than is said: contacts first, then words.
func TestContactsAndWordsAreDeleted(t *testing.T) {
	both(t, func(c *court) {
		c.say("a", "one.example", "two.example")
		c.say("b", "one.example", "two.example")
		c.update()
		_, one := c.statement(c.submit("one.example"))
		open := c.submit("two.example")
		none := c.submit("nothing.example")
		c.vote(one.ID, "ann", ledger.CaseDelisted)
		c.later(docket.ContactRetention + time.Hour)
		c.tick()
		if n := c.count("docket_contact", "true"); n != 1 {
			t.Errorf("%d contacts, not the one of the open case", n)
		}
		c.later(docket.WordsRetention)
		c.tick()
		if n := c.count("docket_statement", "true"); n != 1 {
			t.Errorf("%d statements, not the one of the open case", n)
		}
		if _, two := c.statement(open); !two.Open() {
			t.Errorf("%+v", two)
		}
		if _, err := c.docket.Statement(t.Context(), none); err == nil {
			t.Error("an appeal against nothing is kept")
		}
	})
}

// tick does what the docket does every minute.
func (c *court) tick() {
	c.t.Helper()
	if err := c.docket.Tidy(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// The evidence goes while a case waits: it ends without anybody.
func TestAnOpenCaseIsHeardAgain(t *testing.T) {
	both(t, func(c *court) {
		c.say("a", "one.example", "two.example")
		c.say("b", "one.example", "two.example")
		c.update()
		_, one := c.statement(c.submit("one.example"))
		_, two := c.statement(c.submit("two.example"))
		c.say("a", "two.example")
		c.later(2 * time.Hour)
		c.tick()
		c.filtered("two.example")
		// The other's listing ends by another's hand.
		c.say("b", "nothing.example")
		c.later(91 * 24 * time.Hour)
		c.update()
		c.filtered()
		c.tick()
		for _, id := range []string{one.ID, two.ID} {
			if now, err := c.docket.Case(t.Context(), id); err != nil || now.Status != ledger.CaseDelisted || now.ByPeople() || now.Took == 0 {
				t.Errorf("%+v, %v", now, err)
			}
		}
	})
}

// A hearing that fails loses nothing: the appeal waits. One that was cut off when the log had it
// is not repeated, and a store that was lost learns its cases from the log.
func TestNothingIsLost(t *testing.T) {
	both(t, func(c *court) {
		c.say("a", "one.example")
		c.say("b", "one.example")
		c.update()
		c.broken = errBroken
		receipt, err := c.docket.Submit(t.Context(), docket.Appeal{Subject: "one.example", Cause: "other"})
		if err != nil {
			t.Fatal(err)
		}
		c.tick()
		if state, _ := c.statement(receipt); state != docket.Waiting {
			t.Errorf("%s", state)
		}
		c.broken = nil
		c.run(receipt)
		_, one := c.statement(receipt)
		if _, err := c.db.Exec(t.Context(), `UPDATE docket_statement SET state = 'waiting'`); err != nil {
			t.Fatal(err)
		}
		size := len(one.Entries)
		c.run(receipt)
		if state, again := c.statement(receipt); state != docket.Joined || again.ID != one.ID || len(again.Entries) != size {
			t.Errorf("%s %+v", state, again)
		}
		for _, table := range []string{"docket_case", "docket_statement", "docket_memo"} {
			if _, err := c.db.Exec(t.Context(), `DELETE FROM `+table); err != nil {
				t.Fatal(err)
			}
		}
		c.docket = c.opened()
		if err := c.docket.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		now, err := c.docket.Case(t.Context(), one.ID)
		if err != nil || now.Status != ledger.CaseReferred || now.Subject() != "one.example" {
			t.Errorf("%+v, %v", now, err)
		}
		if now = c.vote(one.ID, "ann", ledger.CaseDelisted); now.Status != ledger.CaseDelisted {
			t.Errorf("%+v", now)
		}
		c.filtered()
	})
}

// A name that its source does not let be published: its listing is a commitment, and so is the case.
func TestAnAppealAboutANameThatIsNotTold(t *testing.T) {
	both(t, func(c *court) {
		for i := range c.sources {
			if c.sources[i].ID != "ranks" {
				c.sources[i].Publish = curate.PublishCommitment
			}
		}
		c.reopen()
		c.say("a", "one.example", "two.example")
		c.say("b", "one.example", "two.example")
		c.update()
		c.filtered("one.example", "two.example")
		_, one := c.statement(c.submit("one.example"))
		_, again := c.statement(c.submit("one.example"))
		_, two := c.statement(c.submit("two.example"))
		if one.Subject() != "" || one.Commitment.IsZero() || one.Status != ledger.CaseReferred || again.ID != one.ID || two.ID == one.ID {
			t.Fatalf("%+v, %+v, %+v", one, again, two)
		}
		now, err := c.docket.Vote(t.Context(), one.ID, "ann", ledger.CaseDelisted, "The owner of one.example has cleaned it.")
		if err != nil || now.Status != ledger.CaseDelisted || now.Note != "" {
			t.Errorf("%+v, %v", now, err)
		}
		c.filtered("two.example")
		c.say("b", "nothing.example")
		c.later(2 * time.Hour)
		c.tick()
		c.filtered()
		e, err := c.docket.Entry(t.Context(), two.Entries[0])
		if err != nil || e.Name != "" || e.Commitment.IsZero() {
			t.Errorf("%+v, %v", e, err)
		}
	})
}
