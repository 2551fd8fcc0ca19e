package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Who stops shoji while it makes its first list is told of no failure, and the next start
// goes on from whatever there was.
func TestStoppedWhileStarting(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "shoji.yaml")
	text := "listen: {filtered: ['127.0.0.1:0'], unfiltered: ['127.0.0.1:0']}\nlog: {listen: []}\nstate: " + filepath.Join(dir, "state") + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		var out strings.Builder
		if status := run(ctx, []string{"serve", "--lab", "--config", conf}, terminal{nil, &out, &out}); status != exitOK {
			t.Errorf("stopped after %v: status %d: %s", after, status, out.String())
		}
		cancel()
	}
}
