package audit

import (
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// MaxShown bounds the findings of one check and one code that a report shows; all are counted. It is by
// code, so that many of one kind do not hide one of another.
const MaxShown = 10

// The verdicts of a check and of a report.
const (
	Verified  = "verified"
	Fault     = "fault"
	Unchecked = "unchecked"
)

// Report is what an audit found.
type Report struct {
	Verdict  string        `json:"verdict"`
	Origin   string        `json:"log"`
	Size     uint64        `json:"entries"` // of the log
	Before   uint64        `json:"before"`  // entries that an earlier run verified and this one did not read
	Seen     int           `json:"seen"`    // checkpoints that this machine saw before
	First    time.Time     `json:"-"`       // when it saw the first of them
	Cases    uint64        `json:"cases_open"`
	Waiting  *time.Time    `json:"waiting_since,omitempty"` // the oldest of these
	Opened   uint64        `json:"opened,omitempty"`        // listings by commitment that Config.Names told
	Cosigned *Cosigned     `json:"cosigned,omitempty"`      // by the witnesses asked for; nil: none were
	Epoch    *ledger.Epoch `json:"-"`                       // the list in force; nil: none that was found
	Kept     string        `json:"evidence,omitempty"`      // folder with the proof of a fork
	Checks   []*Check      `json:"checks"`
	Asked    *Asked        `json:"resolvers,omitempty"` // what Live asked; nil: it did not

	tip  ledger.Checkpoint
	list *filter.List // in force, as the log adds up to it; nil: there is none

	released []string // names that persons took off the list, some of them
}

// Cosigned is which witnesses cosigned the checkpoint.
type Cosigned struct {
	By      []Cosigner `json:"by"`
	Missing []string   `json:"missing,omitempty"`
	Invalid []string   `json:"invalid,omitempty"`
}

// Cosigner is a witness that cosigned, and when.
type Cosigner struct {
	Witness string     `json:"witness"`
	Time    *time.Time `json:"time,omitempty"` // when it had seen no larger tree; nil: it does not say
}

// Check is one thing that was looked at.
type Check struct {
	Name      string    `json:"name"`
	Verdict   string    `json:"verdict"`
	Checked   uint64    `json:"checked"`
	Faults    uint64    `json:"faults"`
	Unchecked uint64    `json:"unchecked"` // of what was to be looked at, what could not be
	Left      uint64    `json:"left"`      // what was left out to save work
	Findings  []Finding `json:"findings,omitempty"`

	done bool // it came to its end
}

// Finding is a fault, or something that could not be checked. Code says which, and is one of
// the constants below.
type Finding struct {
	Code    string  `json:"code"`
	Entry   *uint64 `json:"entry,omitempty"`
	Subject string  `json:"subject,omitempty"`
	Format  uint32  `json:"format,omitempty"` // of the compiled list, as its epoch says
	Detail  string  `json:"detail,omitempty"` // for experts
}

// What is found. The first group are faults, the second what could not be checked.
const (
	BadSignature  = "bad-signature"
	Uncosigned    = "uncosigned"      // by the witnesses that the policy asks for
	BadCosigned   = "bad-cosignature" // of a witness
	Rollback      = "rollback"
	Forked        = "fork"
	Damaged       = "damaged"
	Malformed     = "malformed"
	NoPolicy      = "no-policy"
	OtherPolicy   = "other-policy"
	NoClause      = "no-clause"
	NotListed     = "not-listed" // the policy does not list it by this evidence
	IsListed      = "is-listed"  // the policy lists what was delisted, by this evidence
	OtherClause   = "other-clause"
	OtherScope    = "other-scope"
	NoCase        = "no-case"
	NoListing     = "no-listing"
	BadStep       = "bad-step"      // of a case, which cannot follow on the one before
	StillListed   = "still-listed"  // what a case says was delisted
	NothingEnded  = "nothing-ended" // by a delisting
	BackDated     = "back-dated"
	AfterNow      = "after-now"
	WrongList     = "wrong-list"
	WrongMap      = "wrong-map"
	WrongFormat   = "wrong-format" // of a list, which is in this program's
	NoEpoch       = "no-epoch"
	OtherFormat   = "other-format" // of a list, than this program's
	OldPolicy     = "policy-not-executable"
	Committed     = "commitment"
	NotExecutable = "not-executable"
	Unreadable    = "unreadable"
	NoCheckpoint  = "no-checkpoint"
)

// Has reports whether a finding of this code is shown.
func (r *Report) Has(code string) bool {
	for _, c := range r.Checks {
		if c.has(code) {
			return true
		}
	}
	return false
}

func (c *Check) has(code string) bool {
	return slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.Code == code })
}

// faultsOf takes over the faults of an earlier report of the same log: that something is right when it is
// looked at again does not undo it.
func (r *Report) faultsOf(old *Report) {
	for _, was := range old.Checks {
		at := slices.IndexFunc(r.Checks, func(c *Check) bool { return c.Name == was.Name })
		if at < 0 || was.Faults == 0 || r.Checks[at].Faults > 0 {
			continue
		}
		c := r.Checks[at]
		c.Faults = was.Faults
		now := c.Findings
		c.Findings = nil
		c.show(was.Findings...)
		c.show(now...)
	}
	if r.Kept == "" {
		r.Kept = old.Kept
	}
	r.judge()
}

// judge works out the verdicts.
func (r *Report) judge() {
	r.Verdict = Verified
	for _, c := range r.Checks {
		switch {
		case c.Faults > 0:
			c.Verdict, r.Verdict = Fault, Fault
		case !c.done || c.Unchecked > 0:
			if c.Verdict = Unchecked; r.Verdict != Fault {
				r.Verdict = Unchecked
			}
		default:
			c.Verdict = Verified
		}
	}
}

func (c *Check) ok(n uint64) {
	c.Checked += n
	c.done = true
}

func (c *Check) fault(f Finding) {
	c.Faults++
	c.show(f)
}

func (c *Check) open(f Finding) {
	c.Unchecked++
	c.show(f)
}

func (c *Check) show(all ...Finding) {
	for _, f := range all {
		alike := 0
		for i := range c.Findings {
			if c.Findings[i].Code == f.Code {
				alike++
			}
		}
		if alike < MaxShown {
			c.Findings = append(c.Findings, f)
		}
	}
}
