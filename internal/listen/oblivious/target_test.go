package oblivious

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/odoh"
)

// A key is published for a day and accepted for another one; it is on disk before it is published, readable by its
// owner alone, and gone from there when it is over.
func TestKeysTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "odoh")
		target, err := OpenTarget(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go target.Run(ctx)
		first := target.Keys().Configs()
		sealed := func() []byte {
			c, err := odoh.ParseConfigs(first)
			if err != nil {
				t.Fatal(err)
			}
			b, _, err := c.Seal([]byte("query"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}()
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(KeyLife - 2*lookEvery)
		if !bytes.Equal(target.Keys().Configs(), first) {
			t.Error("replaced too early")
		}
		pass(3 * lookEvery)
		if bytes.Equal(target.Keys().Configs(), first) || len(target.Keys()) != 2 {
			t.Errorf("not replaced: %d keys", len(target.Keys()))
		}
		if _, err := target.Keys().Open(sealed); err != nil {
			t.Errorf("the key before: %v", err)
		}
		same(t, dir, target)
		pass(KeyAccepted)
		if _, err := target.Keys().Open(sealed); !errors.Is(err, odoh.ErrKey) {
			t.Errorf("a key that is over: %v", err)
		}
		same(t, dir, target)
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
}

// same holds that the file has the keys that are accepted.
func same(t *testing.T, dir string, target *Target) {
	t.Helper()
	again, err := OpenTarget(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Keys()) != len(target.Keys()) || !bytes.Equal(again.Keys().Configs(), target.Keys().Configs()) {
		t.Errorf("the file has %d keys, of %d", len(again.Keys()), len(target.Keys()))
	}
}

// A key that cannot be kept is not published: the one before stays.
func TestKeysThatCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	target, err := OpenTarget(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := target.Keys().Configs()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := target.turn(time.Now().Add(KeyLife)); err == nil || !bytes.Equal(target.Keys().Configs(), first) {
		t.Errorf("published: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := target.turn(time.Now().Add(KeyLife)); err != nil || bytes.Equal(target.Keys().Configs(), first) {
		t.Errorf("not published: %v", err)
	}
}

// A start when a new key cannot be kept goes on with one that is accepted; without any it fails.
func TestStartOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	target, err := OpenTarget(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := target.Keys().Configs()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	again := &Target{dir: dir, log: slog.New(slog.DiscardHandler), keys: target.keys}
	if err := again.begin(time.Now().Add(KeyLife)); err != nil || !bytes.Equal(again.Keys().Configs(), first) || !again.ill {
		t.Errorf("%v", err)
	}
	if err := again.begin(time.Now().Add(KeyLife + KeyAccepted)); err == nil {
		t.Error("a start with a key that is over")
	}
}

// Clocks that were set wrong leave no key in use for ever, and no more keys than there is room for.
func TestClockThatIsSet(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var keys []dated
	for i := range 3 * maxKeys {
		var err error
		var changed bool
		if keys, changed, err = turned(keys, now.Add(-time.Duration(i)*time.Hour)); err != nil || !changed {
			t.Fatal(changed, err)
		}
	}
	if len(keys) != maxKeys {
		t.Errorf("%d keys", len(keys))
	}
	keys, _, err := turned(keys, now.Add(3*KeyLife))
	if err != nil || len(keys) != 1 {
		t.Errorf("later: %d keys, %v", len(keys), err)
	}
}

func TestFileThatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenTarget(dir, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"cut off": good[:len(good)-1], "no key": []byte("2026-01-01T00:00:00Z \n"), "no time": good[1:], "garbage": []byte("x\n"),
		"too many": bytes.Repeat(good, maxKeys+1), "too long": make([]byte, maxFile+1), "a short key": append(good[:len(good)-3:len(good)-3], '\n'),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenTarget(dir, nil); err == nil || bytes.Contains([]byte(err.Error()), good[21:60]) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzKeys(f *testing.F) {
	next, _, err := turned(nil, time.Unix(1_700_000_000, 0))
	if err != nil {
		f.Fatal(err)
	}
	text, err := format(next)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parse(text)
		if err != nil {
			return
		}
		again, err := format(keys)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parse(again); err != nil || len(back) != len(keys) || len(keys) > maxKeys {
			t.Errorf("%d keys and back %d: %v", len(keys), len(back), err)
		}
	})
}
