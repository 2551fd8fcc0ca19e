package config

import (
	"strings"
	"testing"
	"time"
)

func TestLog(t *testing.T) {
	c, err := Parse([]byte("log:\n  witnesses: |\n    quorum none\n  uncosigned: publish\n  witness_timeout: 2s\n"))
	if err != nil || c.Log.Witnesses != "quorum none\n" || c.Log.Uncosigned != "publish" || time.Duration(c.Log.Patience) != 2*time.Second {
		t.Errorf("%+v, %v", c.Log, err)
	}
	for text, want := range map[string]string{
		"{uncosigned: ignore}":    "log.uncosigned",
		"{witness_timeout: 1ms}":  "log.witness_timeout",
		"{witness_timeout: 2m}":   "log.witness_timeout",
		"{witness: a}":            "witnesses",
		"{witness_timeout: soon}": "log.witness_timeout",
	} {
		if _, err := Parse([]byte("log: " + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
