package follow

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/forger"
)

func web(t *testing.T, h http.Handler) *Web {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	w, err := OpenWeb(s.URL, nil, "shoji/test")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// onWeb follows a log over HTTP.
func onWeb(t *testing.T, dir string, l *forger.Log, h http.Handler) *Follower {
	t.Helper()
	w := web(t, h)
	f := open(t, dir, l)
	f.cfg.Log, f.cfg.Lists = w, w
	return f
}

// Over HTTP a log that has not changed costs a reply without a body.
func TestWeb(t *testing.T) {
	l := large()
	unchanged := atomic.Int64{}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "shoji/test" {
			t.Errorf("the agent is %q", r.Header.Get("User-Agent"))
		}
		rec := &recorder{w, 0}
		l.ServeHTTP(rec, r)
		if rec.status == http.StatusNotModified {
			unchanged.Add(1)
		}
	})
	f := onWeb(t, t.TempDir(), l, h)
	if list := step(t, f); list.Count() != 600 || !strings.Contains(asked(l), "list/") {
		t.Error("the published list is not fetched")
	}
	for range 3 {
		if step(t, f) != nil {
			t.Error("a list without a change")
		}
	}
	if unchanged.Load() != 3 || asked(l) != "checkpoint checkpoint checkpoint" {
		t.Errorf("%d of 3 looks were answered by 304", unchanged.Load())
	}
	l.Add(forger.Listing("new.example"))
	l.Epoch()
	if !has(step(t, f), "new.example") {
		t.Error("the change is not in force")
	}
}

// A server that makes validators of a file's time, as nginx does, calls two checkpoints of one
// second the same. The second one is seen nevertheless.
func TestTwoCheckpointsOfOneSecond(t *testing.T) {
	l := large()
	changed := time.Now()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/checkpoint" {
			l.ServeHTTP(w, r)
			return
		}
		b, err := l.Read(r.Context(), "checkpoint", 1<<20)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, changed.Unix(), len(b)))
		http.ServeContent(w, r, "", changed, bytes.NewReader(b))
	})
	f := onWeb(t, t.TempDir(), l, h)
	step(t, f)
	l.Add(forger.Listing("new.example"))
	l.Epoch()
	if !has(step(t, f), "new.example") {
		t.Error("the second checkpoint is taken for the first")
	}
	for what, want := range map[string]bool{"Mon, 02 Jan 2006 15:04:05 GMT": false, "Mon, 02 Jan 2006 15:04:03 GMT": true, "yesterday": false, "": true} {
		h := http.Header{"Date": {"Mon, 02 Jan 2006 15:04:05 GMT"}}
		if what != "" {
			h.Set("Last-Modified", what)
		}
		if tells(h) != want {
			t.Errorf("Last-Modified %q: %t", what, !want)
		}
	}
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// A list comes in parts where the server or the line breaks off, whether the server knows
// parts or not; and what the server makes of them is held to the digest.
func TestListInParts(t *testing.T) {
	for name, spoil := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"by ranges": func(http.ResponseWriter, *http.Request) bool { return false },
		"a server that knows no ranges": func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		},
		"another part": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.Header().Set("Content-Range", "bytes 0-9/6000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write([]byte("0123456789"))
			return true
		},
		"a part that is not satisfiable": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			}
			return r.Header.Get("Range") != ""
		},
		"a page in place of the rest": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" {
				w.Write([]byte(strings.Repeat("<html>", 2000)))
			}
			return r.Header.Get("Range") != ""
		},
	} {
		l, first := large(), true
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/list/") {
				if spoil(w, r) {
					return
				}
				if first {
					first = false
					w.Header().Set("Content-Length", "6000")
					w.Write(l.List(l.EpochEntry().Digest)[:1234])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
			}
			l.ServeHTTP(w, r)
		})
		f := onWeb(t, t.TempDir(), l, h)
		if _, err := f.Step(t.Context()); err == nil {
			t.Errorf("%s: a transfer that broke off is whole", name)
		}
		if list := step(t, f); list.Count() != 600 {
			t.Errorf("%s: another list", name)
		}
	}
}

// The addresses of the log's host come from whoever the node asks.
func TestDial(t *testing.T) {
	l := large()
	s := httptest.NewServer(l)
	defer s.Close()
	at := ""
	w, err := OpenWeb("http://log.isp.example/logs/a", func(ctx context.Context, network, addr string) (net.Conn, error) {
		at = addr
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}, "shoji/test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Read(t.Context(), "checkpoint", 1000); err == nil || at != "log.isp.example:80" {
		t.Errorf("dialled %q: %v", at, err)
	}
	if got := asked(l); !strings.HasSuffix(got, " logs/a/checkpoint") {
		t.Errorf("asked for %q", got)
	}
}
