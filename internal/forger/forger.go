// Package forger is an operator who signs whatever he likes: a log in memory with its key, for
// tests of those who read logs. It serves it as a web server does, and can show other readers
// another log by the same key.
package forger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/ledger"
)

// Origin is the name of the logs.
const Origin = "log.isp.example"

// Morning is the time of a log's first entry.
var Morning = time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC)

// Log is a log. Its methods may be called from any goroutine.
type Log struct {
	Key  note.Verifier
	VKey string

	signer note.Signer
	mu     sync.Mutex
	raw    [][]byte
	hashes storedHashes
	files  map[string][]byte
	lists  map[string][]byte
	asked  []string // paths
	down   bool
}

type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = s[n]
	}
	return out, nil
}

type seeded struct{ *rand.ChaCha8 }

// New makes a log without entries. Logs of one seed have one key.
func New(seed byte) *Log { return Named(seed, Origin) }

// Named is New with a name.
func Named(seed byte, origin string) *Log {
	skey, vkey, err := note.GenerateKey(seeded{rand.NewChaCha8([32]byte{seed})}, origin)
	must(err)
	l := &Log{VKey: vkey, files: map[string][]byte{}, lists: map[string][]byte{}}
	l.signer, err = note.NewSigner(skey)
	must(err)
	l.Key, err = note.NewVerifier(vkey)
	must(err)
	l.publish()
	return l
}

func must(err error) {
	if err != nil {
		panic("forger: " + err.Error())
	}
}

// Twin is another log by the same key that has the first size entries and lists of this one.
func (l *Log) Twin(size int) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &Log{Key: l.Key, VKey: l.VKey, signer: l.signer, files: map[string][]byte{}, lists: map[string][]byte{}}
	for d, b := range l.lists {
		t.lists[d] = b
	}
	t.append(l.raw[:size])
	t.publish()
	return t
}

// Size is how many entries it has.
func (l *Log) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.raw)
}

// Listing lists a name.
func Listing(name string) *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindList, Time: Morning, Name: name, Scope: ledger.ScopeExact, Clause: "chosen", Policy: ledger.Digest{1},
		Evidence: []ledger.Evidence{{Source: "operator", Kind: "c2"}},
	}
}

// Subject lists what a text says: a prefix, *.name for a subtree, or a name.
func Subject(text string) *ledger.Entry {
	e := Listing(text)
	if p, err := netip.ParsePrefix(text); err == nil {
		e.Name, e.Prefix, e.Scope = "", p, ledger.ScopePrefix
	} else if below, ok := strings.CutPrefix(text, "*."); ok {
		e.Name, e.Scope = below, ledger.ScopeSubtree
	}
	return e
}

// ListOf is a list of the given subjects, which are a log's entries 0, 1, …, in a file below dir.
func ListOf(dir string, subjects ...string) *filter.List {
	entries := make([]*ledger.Entry, len(subjects))
	for i, text := range subjects {
		entries[i] = Subject(text)
	}
	l := New(1)
	l.Add(entries...)
	return l.Compiled(dir)
}

// Compiled is the list of what the log adds up to, in a file below dir.
func (l *Log) Compiled(dir string) *filter.List {
	state, err := ledger.Replay(context.Background(), l, l.Key, nil)
	must(err)
	f, err := os.CreateTemp(dir, "list")
	must(err)
	defer f.Close()
	_, err = filter.Compile(f, state)
	must(err)
	list, err := filter.Open(f.Name())
	must(err)
	return list
}

// Delisting delists one.
func Delisting(name string) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindDelist, Time: Morning, Name: name, Scope: ledger.ScopeExact, Cause: "operator"}
}

// Hosts are n listings, numbered.
func Hosts(n int) []*ledger.Entry {
	out := make([]*ledger.Entry, n)
	for i := range out {
		out[i] = Listing(fmt.Sprintf("host-%d.example", i))
	}
	return out
}

// Add appends entries and signs the log.
func (l *Log) Add(entries ...*ledger.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(encode(entries))
	l.publish()
}

// AddRaw appends what need not be an entry.
func (l *Log) AddRaw(raw ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.append(raw)
	l.publish()
}

func encode(entries []*ledger.Entry) [][]byte {
	var raw [][]byte
	for _, e := range entries {
		b, err := e.Marshal()
		must(err)
		raw = append(raw, b)
	}
	return raw
}

func (l *Log) append(raw [][]byte) {
	for _, b := range raw {
		h, err := tlog.StoredHashes(int64(len(l.raw)), b, l.hashes)
		must(err)
		l.raw, l.hashes = append(l.raw, b), append(l.hashes, h...)
	}
}

// Epoch compiles what the log adds up to, publishes the list, and returns its entry.
func (l *Log) Epoch() *ledger.Entry {
	e := l.EpochEntry()
	l.Add(e)
	return e
}

// EpochWithMap is Epoch, with a verifiable map over the list.
func (l *Log) EpochWithMap() *ledger.Entry {
	e := l.EpochEntry()
	state, err := ledger.Replay(context.Background(), l, l.Key, nil)
	must(err)
	var out bytes.Buffer
	e.Map, err = state.Map(&out)
	must(err)
	m, err := ledger.OpenMap(bytes.NewReader(out.Bytes()), int64(out.Len()))
	must(err)
	paths := []string{ledger.MapHeadPath(e.Map)}
	for page := range m.Head().Pages() {
		paths = append(paths, ledger.MapPagePath(e.Map, page))
	}
	for _, path := range paths {
		b, err := m.Read(context.Background(), path, int64(out.Len()))
		must(err)
		l.SetFile(path, b)
	}
	l.Add(e)
	return e
}

// EpochEntry is Epoch without the entry in the log.
func (l *Log) EpochEntry() *ledger.Entry {
	state, err := ledger.Replay(context.Background(), l, l.Key, nil)
	must(err)
	var out bytes.Buffer
	digest, err := filter.Compile(&out, state)
	must(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists[digest.String()] = out.Bytes()
	return &ledger.Entry{
		Kind: ledger.KindEpoch, Time: Morning, Size: state.Size(), Digest: ledger.Digest(digest), Bytes: uint64(out.Len()), Count: uint64(state.Len()),
		Layout: filter.Version,
	}
}

// InFormat is EpochEntry of an operator whose version of shoji has another format of the list.
func (l *Log) InFormat(layout uint32) *ledger.Entry {
	e := l.EpochEntry()
	b := l.List(e.Digest)
	binary.LittleEndian.PutUint32(b[8:], layout)
	e.Digest, e.Layout = sha256.Sum256(b), layout
	l.SetList(e.Digest, b)
	return e
}

// SetList publishes octets as the list with a digest; nil takes it away.
func (l *Log) SetList(digest ledger.Digest, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b == nil {
		delete(l.lists, digest.String())
		return
	}
	l.lists[digest.String()] = b
}

// List is what it publishes as the list with a digest.
func (l *Log) List(digest ledger.Digest) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.lists[digest.String()])
}

// SetFile puts a file in the place of one of the log's.
func (l *Log) SetFile(path string, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files[path] = b
}

// File is one of the log's files.
func (l *Log) File(path string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.files[path])
}

// SetDown has nothing answered, or again all.
func (l *Log) SetDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// Asked are the paths that were asked for since the last call.
func (l *Log) Asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.asked
	l.asked = nil
	return out
}

// publish writes and signs all of the log.
func (l *Log) publish() {
	for _, tile := range tlog.NewTiles(8, 0, int64(len(l.raw))) {
		path := ledger.TilePath(tile.L, uint64(tile.N), tile.W%256)
		if _, ok := l.files[path]; ok && tile.W == 256 {
			continue
		}
		data, err := tlog.ReadTileData(tile, l.hashes)
		must(err)
		l.files[path] = data
		if tile.L == 0 {
			var bundle []byte
			for _, e := range l.raw[tile.N*256:][:tile.W] {
				bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(e))), e...)
			}
			l.files[ledger.BundlePath(uint64(tile.N), tile.W%256)] = bundle
		}
	}
	root, err := tlog.TreeHash(int64(len(l.raw)), l.hashes)
	must(err)
	text := fmt.Sprintf("%s\n%d\n%s\n", l.Key.Name(), len(l.raw), base64.StdEncoding.EncodeToString(root[:]))
	l.files[ledger.CheckpointPath], err = note.Sign(&note.Note{Text: text}, l.signer)
	must(err)
}

// Read implements ledger.Source.
func (l *Log) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, path)
	b, ok := l.files[path]
	switch {
	case l.down:
		return nil, fmt.Errorf("%s: the log is down", path)
	case !ok:
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return bytes.Clone(b), ctx.Err()
}

// ServeHTTP implements http.Handler.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	l.mu.Lock()
	b, ok := l.files[path]
	if digest, list := strings.CutPrefix(path, "list/"); list {
		b, ok = l.lists[digest]
	}
	down := l.down
	l.asked = append(l.asked, path+strings.TrimPrefix(r.Header.Get("Range"), "bytes"))
	l.mu.Unlock()
	switch {
	case down:
		http.Error(w, "down", http.StatusForbidden) // which nobody tries again at once
	case !ok:
		http.NotFound(w, r)
	default:
		sum := sha256.Sum256(b)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(slices.Clone(b)))
	}
}
