package main

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoji-dns/shoji/internal/appeal"
	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/ledger"
)

// A log that the loop wrote from sources, with appeals that the policy granted, a person
// upheld, a person granted, and one that waits, is verified.
func TestVerifyALogWithAppeals(t *testing.T) {
	dir := t.TempDir()
	text := "state: " + filepath.Join(dir, "state") + "\nsources:\n"
	say := func(source, names string) {
		if err := os.WriteFile(filepath.Join(dir, source), []byte(names), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"a", "b"} {
		text += "  - {id: feed-" + s + ", location: '" + filepath.Join(dir, s) + "', kinds: [c2]}\n"
		say(s, "one.bad.test\ntwo.bad.test\nthree.bad.test\nfour.bad.test\n")
	}
	path := filepath.Join(dir, "shoji.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := shoji(t, "", "list", "update", "--config", path); status != exitOK {
		t.Fatal(out)
	}
	conf, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	l, done, err := loop(t.Context(), conf, (&net.Dialer{}).DialContext, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	cases := map[string]*appeal.Case{}
	hear := func(name, verdict string) {
		t.Helper()
		s, err := curate.ParseSubject(name)
		if err != nil {
			t.Fatal(err)
		}
		err = l.Hear(t.Context(), s, func(h *curate.Hearing) (*curate.Ruling, error) {
			c := cases[name]
			r := &curate.Ruling{Case: name}
			if c == nil {
				c = new(appeal.Case)
				cases[name] = c
				received := appeal.Receive(name, h.Entry, h.Listing, appeal.Causes()[0], h.Now)
				if err := c.Apply(received); err != nil {
					return nil, err
				}
				r.Before = []*ledger.Entry{received}
			}
			by := appeal.Judgement{Clause: h.Clause, Policy: h.Policy, Evidence: h.Evidence}
			var step *ledger.Entry
			switch {
			case !h.Stays():
				r.End, step = true, c.Delist(by, "", h.Now)
			case verdict == ledger.CaseUpheld:
				r.Upheld, step = true, c.Uphold(by, "it is one", h.Now)
			case verdict == ledger.CaseDelisted:
				r.Granted, r.Note, step = true, "a mistake", c.Delist(by, "a mistake", h.Now)
			default:
				step = c.Refer(by, h.Now)
			}
			r.After = []*ledger.Entry{step}
			return r, c.Apply(step)
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"two.bad.test", "three.bad.test", "four.bad.test"} {
		hear(name, "")
	}
	hear("two.bad.test", ledger.CaseUpheld)
	hear("three.bad.test", ledger.CaseDelisted)
	say("b", "two.bad.test\nfour.bad.test\n")
	hear("one.bad.test", "")
	for name, want := range map[string]string{"one.bad.test": ledger.CaseDelisted, "two.bad.test": ledger.CaseUpheld, "three.bad.test": ledger.CaseDelisted, "four.bad.test": ledger.CaseReferred} {
		if got := cases[name].Status; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	out, status := shoji(t, "", "verify", conf.State, "--json", "--memory", t.TempDir())
	var v struct {
		verdict
		Cases uint64 `json:"cases_open"`
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if status != exitOK || v.Verdict != "verified" || v.Cases != 1 {
		t.Errorf("status %d, %s, %d open: %s", status, v.Verdict, v.Cases, v.details())
	}
}
