package oblivious

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/durable"
	"github.com/shoji-dns/shoji/internal/odoh"
)

const (
	// KeyLife is how long a key is published (RFC 9230 §5), and KeyAccepted how long it is accepted after
	// that: clients keep a key for hours.
	KeyLife     = 24 * time.Hour
	KeyAccepted = 24 * time.Hour

	// lookEvery is how often it is looked whether a key's time has come.
	lookEvery = time.Minute
	// maxKeys bounds the keys of a file: one published, one accepted, and some of a clock that was set.
	maxKeys = 8
	// maxFile bounds a file in octets: a line has 90.
	maxFile = maxKeys * 128

	file = "keys"
)

// dated is a key and when it was made.
type dated struct {
	key  *odoh.Key
	made time.Time
}

// Target is the keys of a target. Its methods may be called from any goroutine.
type Target struct {
	dir   string
	log   *slog.Logger
	keys  []dated // the newest first; Run's
	ready atomic.Pointer[odoh.Keys]
	ill   bool // the file could not be written
}

// OpenTarget reads the keys in a folder, or makes a first one. log may be nil.
func OpenTarget(dir string, log *slog.Logger) (*Target, error) {
	if log == nil {
		log = slog.Default()
	}
	t := &Target{dir: dir, log: log}
	path := filepath.Join(dir, file)
	text, err := read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if t.keys, err = parse(text); err != nil {
		return nil, fmt.Errorf("%s: %w: remove the file to have a new key made; clients learn of it within two hours", path, err)
	}
	if err := durable.MakeFolder(dir, 0o700); err != nil {
		return nil, err
	}
	if err := t.begin(time.Now()); err != nil {
		return nil, err
	}
	return t, nil
}

// begin puts the keys in use. As while the server runs, a disk that is full is no reason to answer
// nobody, as long as one of the keys that there are is accepted.
func (t *Target) begin(now time.Time) error {
	err := t.turn(now)
	if err == nil {
		return nil
	}
	ready := accepted(t.keys, now)
	if len(ready) == 0 {
		return err
	}
	t.use(ready)
	t.ill = true
	t.log.Error("the oblivious target's key stays in use: a new one cannot be kept", "cause", err)
	return nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d octets are more than keys have", path, info.Size())
	}
	return os.ReadFile(path)
}

// Keys are the keys that are accepted now, the one that is published first.
func (t *Target) Keys() odoh.Keys { return *t.ready.Load() }

// Run replaces keys in time until ctx ends.
func (t *Target) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			err := t.turn(now)
			if err != nil && !t.ill {
				t.log.Error("the oblivious target's key stays in use: a new one cannot be kept", "cause", err)
			}
			t.ill = err != nil
		}
	}
}

// turn brings the keys up to a time: on disk first, then in use. What cannot be written is not used.
func (t *Target) turn(now time.Time) error {
	next, changed, err := turned(t.keys, now)
	if err != nil {
		return err
	}
	if changed {
		text, err := format(next)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(t.dir, file), text, 0o600); err != nil {
			return err
		}
	}
	if changed || t.ready.Load() == nil {
		t.use(next)
	}
	return nil
}

// use has keys published and accepted.
func (t *Target) use(keys []dated) {
	t.keys = keys
	ready := make(odoh.Keys, len(keys))
	for i, k := range keys {
		ready[i] = k.key
	}
	t.ready.Store(&ready)
}

// accepted are the keys that are not over.
func accepted(keys []dated, now time.Time) (out []dated) {
	for _, k := range keys {
		if now.Sub(k.made) < KeyLife+KeyAccepted {
			out = append(out, k)
		}
	}
	return out
}

// turned is what keys become at a time: those that are over go, and where the newest has been published for
// long enough, or is of the future since a clock was set, there is a new one.
func turned(keys []dated, now time.Time) (next []dated, changed bool, err error) {
	next = accepted(keys, now)
	changed = len(next) != len(keys)
	if age := time.Duration(-1); len(next) > 0 {
		age = now.Sub(next[0].made)
		if 0 <= age && age < KeyLife {
			return next, changed, nil
		}
	}
	key, err := odoh.NewKey()
	if err != nil {
		return nil, false, err
	}
	next = append([]dated{{key, now}}, next[:min(len(next), maxKeys-1)]...)
	return next, true, nil
}

// format writes keys as their file has them.
func format(keys []dated) ([]byte, error) {
	var b bytes.Buffer
	for _, k := range keys {
		private, err := k.key.Bytes()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s %x\n", k.made.UTC().Format(time.RFC3339), private)
	}
	return b.Bytes(), nil
}

// parse reads what format wrote.
func parse(text []byte) (keys []dated, err error) {
	for n := 1; len(text) > 0; n++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		made, private, ok := bytes.Cut(line, []byte(" "))
		at, err1 := time.Parse(time.RFC3339, string(made))
		b, err2 := hex.DecodeString(string(private))
		if !whole || !ok || err1 != nil || err2 != nil || n > maxKeys {
			return nil, fmt.Errorf("line %d is no key with its time", n) // and is not shown
		}
		key, err := odoh.ParseKey(b)
		if err != nil {
			return nil, fmt.Errorf("line %d holds no key", n)
		}
		keys = append(keys, dated{key, at})
		text = rest
	}
	return keys, nil
}
