package main

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/config"
)

// The built-in anchors roll over by themselves, configured ones where that is asked for.
func TestWhoseAnchorsRollOver(t *testing.T) {
	own := "trust_anchors: ['example. DS 1 13 2 " + strings.Repeat("ab", 32) + "', 'example. DS 2 13 2 " + strings.Repeat("cd", 32) + "']"
	for _, tc := range []struct {
		resolve string
		lab     bool
		zones   int
	}{
		{"{}", false, 1},
		{"{}", true, 0},
		{"{trust_anchor_rollover: false}", false, 0},
		{"{trust_anchor_rollover: true}", true, 1},
		{"{" + own + "}", false, 0},
		{"{trust_anchor_rollover: true, " + own + "}", false, 1},
		{"{trust_anchors: []}", false, 0},
	} {
		conf, err := config.Parse([]byte("state: " + t.TempDir() + "/new\nresolve: " + tc.resolve + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		n := &node{conf: conf, log: slog.New(slog.NewTextHandler(io.Discard, nil)), around: &surroundings{lab: tc.lab}}
		if n.around.anchors, err = anchors(conf); err != nil {
			t.Fatal(err)
		}
		k := n.keeping()
		if len(k.Rollover) != tc.zones {
			t.Errorf("%s, lab %t: %v", tc.resolve, tc.lab, k.Rollover)
		}
		if tc.zones == 0 {
			continue
		}
		if text, err := k.Load(); text != nil || err != nil {
			t.Errorf("before anything was stored: %q, %v", text, err)
		}
		for _, want := range []string{"one", "two"} {
			if err := k.Store([]byte(want)); err != nil {
				t.Error(err)
			}
			if text, err := k.Load(); string(text) != want || err != nil {
				t.Errorf("stored %q, read %q, %v", want, text, err)
			}
		}
	}
}
