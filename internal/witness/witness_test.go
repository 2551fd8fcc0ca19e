package witness

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cosig "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/config"
	"github.com/transparency-dev/witness/persistence/inmemory"
	foreign "github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/ledger"
)

// log is a log in memory, whose tiles package tlog makes.
type log struct {
	t      testing.TB
	signer note.Signer
	key    note.Verifier
	vkey   string
	hashes []tlog.Hash
	size   int64
	files  map[string][]byte
}

func newLog(t testing.TB) *log {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, "log.test")
	if err != nil {
		t.Fatal(err)
	}
	l := &log{t: t, vkey: vkey, files: map[string][]byte{}}
	if l.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if l.key, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	l.publish(l.signed())
	return l
}

// fork is another log of the same key and the same first entries.
func (l *log) fork() *log {
	other := *l
	other.hashes, other.files = slices.Clone(l.hashes), map[string][]byte{}
	for path, b := range l.files {
		other.files[path] = b
	}
	return &other
}

func (l *log) ReadHashes(at []int64) (out []tlog.Hash, err error) {
	for _, n := range at {
		out = append(out, l.hashes[n])
	}
	return out, nil
}

func (l *log) Read(_ context.Context, path string, _ int64) ([]byte, error) {
	b, ok := l.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// grow appends n entries that bear a mark.
func (l *log) grow(n int, mark string) *log {
	l.t.Helper()
	old := l.size
	for range n {
		h, err := tlog.StoredHashes(l.size, fmt.Appendf(nil, "%s %d", mark, l.size), l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, h...)
		l.size++
	}
	for _, tile := range tlog.NewTiles(8, old, l.size) {
		b, err := tlog.ReadTileData(tile, l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.files[ledger.TilePath(tile.L, uint64(tile.N), tile.W%256)] = b
	}
	return l
}

// signed is a checkpoint of all entries.
func (l *log) signed() []byte {
	l.t.Helper()
	root := tlog.Hash(ledger.EmptyRoot())
	if l.size > 0 {
		var err error
		if root, err = tlog.TreeHash(l.size, l); err != nil {
			l.t.Fatal(err)
		}
	}
	b, err := note.Sign(&note.Note{Text: fmt.Sprintf("log.test\n%d\n%s\n", l.size, base64.StdEncoding.EncodeToString(root[:]))}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

func (l *log) publish(c []byte) { l.files[ledger.CheckpointPath] = c }

// server is a witness of transparency-dev/witness over HTTP.
type server struct {
	vkey, url string
	asked     atomic.Int64
	handle    atomic.Pointer[http.HandlerFunc] // in place of the witness; nil: the witness
}

func (s *server) instead(f http.HandlerFunc) { s.handle.Store(&f) }
func (s *server) back()                      { s.handle.Store(nil) }

// start starts a witness that knows some logs.
func start(t testing.TB, name string, pq bool, logs ...*log) *server {
	t.Helper()
	skey, vkey := keys(t, name, pq)
	signer, err := cosig.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	state := inmemory.New()
	for _, l := range logs {
		if err := state.AddLogs(t.Context(), []config.Log{{Origin: l.key.Name(), VKey: l.vkey, Verifier: l.key}}); err != nil {
			t.Fatal(err)
		}
	}
	w, err := foreign.New(t.Context(), foreign.Opts{Persistence: state, Signers: []note.Signer{signer}, VerifierForLog: func(ctx context.Context, origin string) (note.Verifier, bool, error) {
		l, ok, err := state.Log(ctx, origin)
		return l.Verifier, ok, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{vkey: vkey}
	real := foreign.NewHTTPHandler(w)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if f := s.handle.Load(); f != nil {
			(*f)(w, r)
			return
		}
		if r.URL.Path != "/prefix/add-checkpoint" || r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		real.AddCheckpoint(w, r)
	}))
	t.Cleanup(h.Close)
	s.url = h.URL + "/prefix/"
	return s
}

func keys(t testing.TB, name string, pq bool) (skey, vkey string) {
	t.Helper()
	var err error
	if pq {
		skey, vkey, err = cosig.GenerateMLDSAKey(name)
	} else if skey, vkey, err = note.GenerateKey(nil, name); err == nil {
		vkey, err = cosig.VKeyToCosignatureV1(vkey)
	}
	if err != nil {
		t.Fatal(err)
	}
	return skey, vkey
}

// three are three witnesses, a, b and c, and the policy lines that name them.
func three(t testing.TB, l *log) (a, b, c *server, lines string) {
	a, b, c = start(t, "a.test", false, l), start(t, "b.test", false, l), start(t, "c.test", true, l)
	for name, s := range map[string]*server{"a": a, "b": b, "c": c} {
		lines += fmt.Sprintf("witness %s %s %s\n", name, s.vkey, s.url)
	}
	return a, b, c, lines
}

func client(t testing.TB, policy string, timeout time.Duration) *Client {
	t.Helper()
	p, err := ledger.ParseWitnessPolicy([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Policy: p, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cosign has the log's newest checkpoint cosigned and, if that is enough, published.
func cosign(t testing.TB, c *Client, l *log) error {
	t.Helper()
	signed := l.signed()
	out, err := c.Cosign(t.Context(), signed, l.key, l)
	if _, bad := ledger.OpenCheckpoint(out, l.key); bad != nil || !strings.HasPrefix(string(out), string(signed)) {
		t.Fatalf("%v: %s", bad, out)
	}
	if enough := c.Enough(out); (enough == nil) != (err == nil) {
		t.Fatalf("Cosign says %v, Enough says %v", err, enough)
	}
	if err == nil {
		l.publish(out)
	}
	return err
}

// A log grows, and witnesses of both kinds follow it, also one that was away meanwhile.
func TestCosignedGrowth(t *testing.T) {
	l := newLog(t)
	a, _, c, lines := three(t, l)
	all := client(t, lines+"group g all a b c\nquorum g\n", 0)
	two := client(t, lines+"group g 2 a b c\nquorum g\n", 0)
	for _, n := range []int{1, 4, 300, 1, 500} {
		if err := cosign(t, all, l.grow(n, "x")); err != nil {
			t.Fatalf("%d entries: %v", l.size, err)
		}
	}
	a.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for range 3 {
		if err := cosign(t, two, l.grow(7, "x")); err != nil {
			t.Fatalf("a is away: %v", err)
		}
	}
	a.back()
	c.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	if err := cosign(t, two, l.grow(1, "x")); err != nil {
		t.Fatalf("a is back from an older checkpoint: %v", err)
	}
	c.back()
	before := l.files[ledger.CheckpointPath]
	if err := cosign(t, all, l); err != nil || string(before) == string(l.files[ledger.CheckpointPath]) {
		t.Fatalf("the same checkpoint again, of all: %v", err)
	}
}

// Groups, nested and with witnesses that do not count: only those that do are asked.
func TestQuorum(t *testing.T) {
	l := newLog(t)
	a, b, c, lines := three(t, l)
	nested := client(t, lines+"group x any b c\ngroup y all a x\nquorum y\n", 0)
	c.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if err := cosign(t, nested, l.grow(1, "x")); err != nil {
		t.Error(err)
	}
	b.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	err := cosign(t, nested, l.grow(1, "x"))
	if e := (*Error)(nil); !errors.As(err, &e) || e.Conflict() || len(e.Cosigned.Cosignatures) != 1 ||
		!slices.Equal(e.Said, []string{"b: it does not know this log; its operator has to add it", "c: it knows this log by another key"}) {
		t.Errorf("%v", err)
	}
	asked := a.asked.Load() + b.asked.Load()
	if err := cosign(t, client(t, lines+"quorum none\n", 0), l.grow(1, "x")); err != nil || a.asked.Load()+b.asked.Load() != asked {
		t.Errorf("no quorum: %v", err)
	}
	if err := cosign(t, client(t, lines+"quorum a\n", 0), l.grow(1, "x")); err != nil || b.asked.Load()+a.asked.Load() != asked+2 { // the second time from what it had seen
		t.Errorf("one witness: %v, asked %d times", err, b.asked.Load()+a.asked.Load()-asked)
	}
}

// What a witness can do other than cosign, and what is told of it.
func TestWitnessesThatDoNotCosign(t *testing.T) {
	l := newLog(t)
	_, other := keys(t, "other.test", false)
	var elsewhere atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer trap.Close()
	for name, tc := range map[string]struct {
		handle http.HandlerFunc
		key    string
		says   string
	}{
		"slow": {func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() }, "", "no answer within 300ms"},
		"half a reply": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "— a")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "", "no answer within 300ms"},
		"another key":   {nil, other, "no cosignature of this checkpoint by its key"},
		"an empty line": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "\n") }, "", "no cosignature of this checkpoint"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, "", "more than 65536 octets"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, trap.URL, http.StatusTemporaryRedirect)
		}, "", "status 307"},
		"gone": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "", "EOF"},
		"never content": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(409)
			fmt.Fprint(w, "0\n")
		}, "", "it has cosigned 0 entries and does not go on"},
		"no number": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(409)
			fmt.Fprint(w, "x\n")
		}, "", "status 409 without a size"},
	} {
		w := start(t, "a.test", false, l)
		if tc.handle != nil {
			w.instead(tc.handle)
		}
		key := w.vkey
		if tc.key != "" {
			key = tc.key
		}
		err := cosign(t, client(t, fmt.Sprintf("witness a %s %s\nquorum a\n", key, w.url), 300*time.Millisecond), l.grow(1, "x"))
		if e := (*Error)(nil); !errors.As(err, &e) || e.Conflict() || len(e.Said) != 1 || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// A log that shows a witness another history than before is found out.
func TestLogThatEquivocates(t *testing.T) {
	base := newLog(t).grow(5, "x")
	for name, tc := range map[string]struct {
		other *log
		says  string
	}{
		"a longer fork":          {base.fork().grow(9, "z"), "is not the beginning of this log"},
		"a fork of one size":     {base.fork().grow(4, "z"), "a: "},
		"rolled back":            {base.fork(), "it has cosigned 9 entries, and these are 5"},
		"a fork by tlog-witness": {nil, "another tree of the same size"},
	} {
		l := base.fork()
		w := start(t, "a.test", false, l)
		c := client(t, fmt.Sprintf("witness a %s %s\nquorum a\n", w.vkey, w.url), 0)
		if err := cosign(t, c, l.grow(4, "y")); err != nil {
			t.Fatal(err)
		}
		other := tc.other
		if other == nil { // the letter of the protocol: 409 where the roots of one size differ
			other = base.fork().grow(4, "z")
			w.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
		}
		err := cosign(t, c, other)
		if e := (*Error)(nil); !errors.As(err, &e) || !e.Conflict() || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One witness of three that hangs keeps nobody waiting: 2 of 3 are enough.
func TestHangingWitnessKeepsNobody(t *testing.T) {
	l := newLog(t)
	a, _, _, lines := three(t, l)
	a.instead(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	if err := cosign(t, client(t, lines+"group g 2 a b c\nquorum g\n", time.Hour), l.grow(3, "x")); err != nil {
		t.Error(err)
	}
}

// An end of the caller's patience is his, and no witness's fault.
func TestCallerEnds(t *testing.T) {
	l := newLog(t).grow(1, "x")
	ctx, cancel := context.WithCancel(t.Context())
	w := start(t, "a.test", false, l)
	w.instead(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	_, err := client(t, fmt.Sprintf("witness a %s %s\nquorum a\n", w.vkey, w.url), time.Hour).Cosign(ctx, l.signed(), l.key, l)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What cannot work is refused where it is read.
func TestPoliciesThatCannotBeAsked(t *testing.T) {
	_, a := keys(t, "a.test", false)
	_, b := keys(t, "b.test", true)
	for text, want := range map[string]string{
		"witness a " + a + "\nquorum a\n":                                                                    "witness a has no address",
		"witness a " + a + " ftp://x.test/\nquorum a\n":                                                      "no address of a witness",
		"witness a " + a + " https:///x\nquorum a\n":                                                         "no address of a witness",
		"witness a " + a + " https://u:secret@x.test/\nquorum a\n":                                           "no address of a witness",
		"witness a " + a + " https://x.test/?q\nquorum a\n":                                                  "no address of a witness",
		"witness a " + a + " https://x.test/%zz\nquorum a\n":                                                 "witness a",
		"witness a " + a + " http://x.test\nwitness b " + b + " http://x.test/\ngroup g any a b\nquorum g\n": "have the same address",
		"witness a " + a + "\nquorum none\n":                                                                 "",
		"witness a " + a + "\nwitness b " + b + " http://x.test/\nquorum b\n":                                "",
	} {
		p, err := ledger.ParseWitnessPolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(Config{Policy: p})
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
