//go:build unix

package credential

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A start when a self-signed certificate cannot be renewed, as the disk is full, goes on with the one that is kept, and
// says so; without one, or with one for other names, it fails.
func TestSelfSignedOnAFullDisk(t *testing.T) {
	const child = "SHOJI_TEST_FULL_DISK"
	if os.Getenv(child) == "" { // the limit is a whole process's
		c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		c.Env = append(os.Environ(), child+"=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	var told journal
	cfg := Config{Names: []string{"one.example"}, Dir: filepath.Join(t.TempDir(), "tls"), Log: slog.New(slog.NewTextHandler(&told, nil))}
	kept, err := selfSigned(cfg, nil, time.Now().Add(-selfLife+selfRenew/2))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{}); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(cfg); err != nil {
		t.Error(err)
	} else if !bytes.Equal(s.current.Load().Certificate[0], kept.Certificate[0]) || strings.Count(told.take(), "level=ERROR") != 1 {
		t.Errorf("until %v", s.Until())
	}
	cfg.Names = append(cfg.Names, "two.example")
	if _, err := Open(cfg); err == nil {
		t.Error("another name")
	}
	cfg.Dir += "-new"
	if _, err := Open(cfg); err == nil {
		t.Error("a start without one")
	}
}
