package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/follow"
	"github.com/shoji-dns/shoji/internal/forger"
)

// A list in a format that this program does not know is not verified, and nobody is accused: the report
// says which format it is and what to do. That the format is another one than is said is a fault.
func TestVerifyListInAnotherFormat(t *testing.T) {
	other := uint32(filter.Version + 1)
	l := forger.New(1)
	l.Add(l.InFormat(other))
	web := httptest.NewServer(l)
	defer web.Close()
	for lang, want := range map[string]string{
		"en": fmt.Sprintf("entry 0: this list is in format %d, and this program knows format %d: get the version of shoji", other, filter.Version),
		"ja": fmt.Sprintf("エントリ 0: このリストの形式は %d、このプログラムが知る形式は %d。", other, filter.Version),
	} {
		out, status := wrong(t, "verify", web.URL, "--key", l.VKey, "--memory", t.TempDir(), "--lang", lang)
		if status != exitUnchecked || !strings.Contains(out, want) || strings.Contains(out, verifyWords[lang]["fault"]) || strings.Contains(out, "%!") {
			t.Errorf("status %d: %s", status, out)
		}
	}
	e := l.EpochEntry()
	e.Layout = other
	l.Add(e)
	for lang, want := range map[string]string{
		"en": fmt.Sprintf("entry 1: the entry says that the list is in format %d, and the list is in format %d", other, filter.Version),
		"ja": fmt.Sprintf("エントリ 1: エントリはリストの形式を %d としているが、実際は形式 %d である", other, filter.Version),
	} {
		if out, status := wrong(t, "verify", web.URL, "--key", l.VKey, "--memory", t.TempDir(), "--lang", lang); status != exitFailure || !strings.Contains(out, want) {
			t.Errorf("status %d: %s", status, out)
		}
	}
}

// A node goes by the log of an operator whose list is in another format.
func TestNodeFollowsAnotherFormat(t *testing.T) {
	l := forger.New(1)
	l.Add(forger.Listing("c2.evil.test"))
	l.Add(l.InFormat(filter.Version + 1))
	url, _ := shownLog(t, l)
	node := startNode(t, logAt{url, l.VKey})
	awaits(t, node.filtered[0], "c2.evil.test", "127.83.72.1")
	if s, text := statusOf(t, node.filtered[0]); len(s.Errors) != 0 || !strings.Contains(text, `"log=current"`) {
		t.Errorf("%+v", s)
	}
}

// firstWord is a logger's first line, and ends what says it.
type firstWord struct {
	slog.Handler
	end context.CancelFunc
	to  *string
}

func (firstWord) Enabled(context.Context, slog.Level) bool { return true }

func (h firstWord) Handle(_ context.Context, r slog.Record) error {
	*h.to = r.Message
	h.end()
	return nil
}

// What a fault of the log leaves in force is told as it is.
func TestFaultSaysWhatStays(t *testing.T) {
	l := logOf(1, forger.Origin, "c2.evil.test")
	url, shown := shownLog(t, l)
	conf := config.Config{State: t.TempDir(), Follow: []config.Follow{{Log: url, Key: l.VKey}}}
	fault := func() (told string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := &node{log: slog.New(firstWord{slog.DiscardHandler, cancel, &told})}
		n.joint.looked = make([]bool, 1)
		f, err := openFollowed(conf, 0, nil, slog.New(slog.DiscardHandler), follow.Open)
		if err != nil {
			t.Fatal(err)
		}
		f.run(ctx, n, 0)
		return told
	}
	fork := forger.New(1)
	fork.Add(forger.Hosts(1)...)
	l.SetDown(true)
	if got := fault(); got != "the log cannot be followed; no list of it is in force" {
		t.Error(got)
	}
	l.SetDown(false)
	f, err := openFollowed(conf, 0, nil, slog.New(slog.DiscardHandler), follow.Open)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.SetDown(true)
	if got := fault(); got != "the log cannot be followed; its list in force stays as it is" {
		t.Error(got)
	}
	shown.Store(fork)
	if got := fault(); got != "the log that is followed is not right; its list in force stays as it is" {
		t.Error(got)
	}
}
