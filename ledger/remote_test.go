package ledger

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// carrier answers requests from memory.
type carrier func(r *http.Request) (*http.Response, error)

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status), Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func remote(t *testing.T, c carrier) *Remote {
	t.Helper()
	r, err := OpenRemote("https://log.test/shoji", c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRemoteReads(t *testing.T) {
	r := remote(t, func(r *http.Request) (*http.Response, error) {
		switch r.URL.String() {
		case "https://log.test/shoji/checkpoint":
			return reply(200, "tip"), nil
		case "https://log.test/shoji/moved":
			return reply(302, "", "Location", "https://mirror.test/log/moved?signed=1"), nil
		case "https://mirror.test/log/moved?signed=1":
			return reply(200, "moved tip"), nil
		case "https://log.test/shoji/plain":
			return reply(302, "", "Location", "http://mirror.test/plain"), nil
		case "https://log.test/shoji/router":
			return reply(302, "", "Location", "https://192.168.1.1/reboot"), nil
		case "https://log.test/shoji/itself":
			return reply(302, "", "Location", "https://127.0.0.1:8443/itself"), nil
		case "https://log.test/shoji/link":
			return reply(302, "", "Location", "https://169.254.169.254/link"), nil
		case "https://log.test/shoji/file":
			return reply(302, "", "Location", "file:///etc/file"), nil
		case "https://log.test/shoji/loop":
			return reply(302, "", "Location", "https://log.test/shoji/loop"), nil
		case "https://log.test/shoji/forbidden":
			return reply(403, "no"), nil
		case "https://log.test/shoji/busy":
			return reply(503, "no"), nil
		case "https://log.test/shoji/proxy":
			return reply(407, "who are you?"), nil
		}
		return reply(404, "not here"), nil
	})
	for path, want := range map[string]string{"checkpoint": "tip", "moved": "moved tip"} {
		if b, err := r.Read(t.Context(), path, 100); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if _, err := r.Read(t.Context(), "tile/0/000", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := r.Read(t.Context(), "checkpoint", 2); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file over its limit: %v", err)
	}
	if _, err := r.Read(t.Context(), "forbidden", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that one may not have: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		for path, want := range map[string]string{
			"plain": "plain text", "loop": "more than 5 redirects", "router": "no copy of /router", "itself": "of this machine", "link": "or its link",
			"file": "plain text", "busy": "503", "proxy": "407",
		} {
			if _, err := r.Read(t.Context(), path, 100); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
}

// A server that fails is asked again, after a while and not for ever.
func TestRemoteTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		r := remote(t, func(r *http.Request) (*http.Response, error) {
			switch asked++; asked {
			case 1:
				return nil, io.ErrUnexpectedEOF
			case 2:
				return reply(503, "", "Retry-After", "3"), nil
			}
			return reply(200, "tip"), nil
		})
		start := time.Now()
		if b, err := r.Read(t.Context(), "checkpoint", 100); err != nil || string(b) != "tip" || asked != 3 {
			t.Errorf("%q, %v after %d tries", b, err, asked)
		}
		if took := time.Since(start); took != firstPause+3*time.Second {
			t.Errorf("the pauses were %s", took)
		}
		asked = 0
		down := remote(t, func(r *http.Request) (*http.Response, error) {
			asked++
			return reply(500, "", "Retry-After", "99999"), nil
		})
		start = time.Now()
		if _, err := down.Read(t.Context(), "checkpoint", 100); err == nil || asked != MaxTries || time.Since(start) != (MaxTries-1)*maxPause {
			t.Errorf("%v after %d tries and %s", err, asked, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := down.Read(ctx, "checkpoint", 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted: %v", err)
		}
	})
}

func TestRemoteAddresses(t *testing.T) {
	for _, address := range []string{"", "log.test", "ftp://log.test/", "file:///etc", "https://", "https://a:b@log.test/", "https://log.test/?a=b", "https://log.test/#a", "http://%zz/"} {
		if _, err := OpenRemote(address, nil); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
	for address, want := range map[string]string{"http://log.test": "http://log.test/", "https://log.test:8443/a/": "https://log.test:8443/a/"} {
		if r, err := OpenRemote(address, nil); err != nil || r.Address() != want {
			t.Errorf("%q: %v, %v", address, r, err)
		}
	}
}

// counted notes what is read, from several goroutines.
type counted struct {
	*memoryLog
	mu    sync.Mutex
	reads map[string]int
}

func (c *counted) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads[path]++
	return c.memoryLog.Read(ctx, path, limit)
}

// A replay that reads ahead comes to the same and reads no file twice.
func TestReadingAheadChangesNothing(t *testing.T) {
	log := newMemoryLog(t, 1)
	log.add(manyEntries(40*bundleWidth + 7)...)
	src := &counted{memoryLog: log, reads: map[string]int{}}
	state, err := Replay(t.Context(), NewAhead(src, uint64(len(log.raw))), log.log, nil)
	if err != nil || state.Len() != len(log.raw) {
		t.Fatal(err)
	}
	for path, n := range src.reads {
		if n != 1 {
			t.Errorf("%s was read %d times", path, n)
		}
	}
	path := BundlePath(30, 0)
	log.files[path][5]++
	damage := (*DamageError)(nil)
	if _, err := Replay(t.Context(), NewAhead(src, uint64(len(log.raw))), log.log, nil); !errors.As(err, &damage) || damage.Path != path {
		t.Errorf("damage: %v", err)
	}
}

// Whoever watches a replay is shown each entry once, and the state before it.
func TestReplayVisit(t *testing.T) {
	log := newMemoryLog(t, 1)
	log.add(manyEntries(700)...)
	early := mustCheckpoint(t, log)
	log.add(epochEntry(700, 700), delistEntry("host-3.example", ScopeSubtree), listEntry("late.example", ScopeExact))
	c := mustCheckpoint(t, log)
	for _, base := range []Base{{}, {Size: 700, Root: early.Root}} {
		next := base.Size
		tail, err := ReplayVisit(t.Context(), log, c, base, nil, func(n uint64, e *Entry, before *Tail) error {
			raw, err := e.Marshal()
			if n != next || before.Size() != n || err != nil || !bytes.Equal(raw, log.raw[n]) {
				t.Fatalf("entry %d: %+v with %d before it", n, e, before.Size())
			}
			if n == 700 && before.RootHash() != early.Root {
				t.Error("the state before entry 700 has another root")
			}
			_, has := before.Epoch()
			if _, listed, known := before.Entry("host-3.example", ScopeSubtree); n == 702 && (listed || !known || !has) {
				t.Error("the state before entry 702 is not after entry 701")
			}
			next++
			return nil
		})
		if err != nil || next != 703 || tail.Size() != 703 || tail.RootHash() != c.Root {
			t.Errorf("from %d on: visited up to %d: %v", base.Size, next, err)
		}
		stop := errors.New("stop")
		if _, err := ReplayVisit(t.Context(), log, c, base, nil, func(uint64, *Entry, *Tail) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("stopped: %v", err)
		}
	}
}

// The proof of a fork says by itself that the older log is none of the newer one's beginnings.
func TestForkIsProved(t *testing.T) {
	one, two := newMemoryLog(t, 1), newMemoryLog(t, 1)
	one.add(manyEntries(300)...)
	two.add(append(manyEntries(299), listEntry("other.example", ScopeExact))...)
	two.add(manyEntries(400)...)
	fork := (*ForkError)(nil)
	old, now := mustCheckpoint(t, one), mustCheckpoint(t, two)
	if err := VerifyConsistency(t.Context(), two, old, now); !errors.As(err, &fork) || len(fork.Proof) == 0 {
		t.Fatalf("%v", err)
	}
	leads, err := two.forkedRoot(old.Size)
	if err != nil || checkTree(fork.Proof, now, old.Size, leads) != nil || checkTree(fork.Proof, now, old.Size, old.Root) == nil {
		t.Errorf("the proof does not prove it: %v", err)
	}
}
