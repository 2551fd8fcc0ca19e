package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// operator has a log's key and signs whatever he likes. It is a Source too.
type operator struct {
	t      *testing.T
	signer note.Signer
	key    note.Verifier
	vkey   string
	policy *policy.Policy
	raw    [][]byte
	files  map[string][]byte
	reads  *atomic.Int64
	down   error // why nothing can be read
}

// morning is when the logs of these tests begin.
var morning = time.Date(2026, 1, 2, 8, 0, 0, 0, time.UTC)

type seededReader struct{ *rand.ChaCha8 }

func newOperator(t *testing.T) *operator { return operatorOf(t, 1, "log.isp.example") }

// operatorOf is one with a log of that name, and the key of that seed.
func operatorOf(t *testing.T, seed byte, origin string) *operator {
	t.Helper()
	skey, vkey, err := note.GenerateKey(seededReader{rand.NewChaCha8([32]byte{seed})}, origin)
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, vkey: vkey, files: map[string][]byte{}, reads: new(atomic.Int64)}
	o.signer, err = note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	if o.key, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	if o.policy, err = policy.Default(); err != nil {
		t.Fatal(err)
	}
	return o
}

// honest is an operator with a policy, three listings and a list in force.
func honest(t *testing.T) *operator {
	o := newOperator(t)
	o.add(o.policy.Entry(morning), o.list("a.example"), o.list("b.example"), o.list("c.example"))
	o.epoch()
	return o
}

// twin is another log by the same key, so far the same.
func (o *operator) twin() *operator {
	c := *o
	c.raw = append([][]byte(nil), o.raw...)
	c.files = map[string][]byte{}
	c.publish()
	return &c
}

func (o *operator) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	o.reads.Add(1)
	if o.down != nil {
		return nil, o.down
	}
	b, ok := o.files[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return bytes.Clone(b), ctx.Err()
}

// at is the time of the next entry: a second after the one before.
func (o *operator) at() time.Time { return morning.Add(time.Duration(len(o.raw)) * time.Second) }

// c2 is what a source says.
func c2(source string) ledger.Evidence {
	return ledger.Evidence{Source: source, Kind: policy.C2, First: morning.AddDate(0, -1, 0), Last: morning}
}

// list is a listing by two independent sources, as the policy wants it.
func (o *operator) list(name string) *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindList, Time: o.at(), Name: name, Scope: ledger.ScopeExact,
		Clause: "c2-two-sources", Policy: o.policy.Digest, Evidence: []ledger.Evidence{c2("feed-a"), c2("feed-b")},
	}
}

// hosts are n listings.
func (o *operator) hosts(n int) []*ledger.Entry {
	out := make([]*ledger.Entry, n)
	for i := range out {
		out[i] = o.list(fmt.Sprintf("host-%d.example", i))
	}
	return out
}

func (o *operator) delist(name string) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindDelist, Time: o.at(), Name: name, Scope: ledger.ScopeExact, Cause: "operator"}
}

// receive is the first step of a case about a listing.
func (o *operator) receive(id string, listing uint64, name string) *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindCase, Time: o.at(), Case: id, Status: ledger.CaseReceived, Cause: "false-positive",
		Listing: &listing, Name: name, Scope: ledger.ScopeExact,
	}
}

// step is a further one.
func (o *operator) step(id, status string) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindCase, Time: o.at(), Case: id, Status: status}
}

// add appends entries and signs the log.
func (o *operator) add(entries ...*ledger.Entry) {
	o.t.Helper()
	for _, e := range entries {
		b, err := e.Marshal()
		if err != nil {
			o.t.Fatal(err)
		}
		o.raw = append(o.raw, b)
	}
	o.publish()
}

// replace puts another entry in the place of entry n and signs the log again.
func (o *operator) replace(n int, e *ledger.Entry) {
	o.t.Helper()
	b, err := e.Marshal()
	if err != nil {
		o.t.Fatal(err)
	}
	o.raw[n] = b
	o.publish()
}

// epochEntry publishes what the log adds up to.
func (o *operator) epochEntry() *ledger.Entry {
	o.t.Helper()
	return o.compiled(o)
}

// compiled is the epoch entry of a log's whole state.
func (o *operator) compiled(src ledger.Source) *ledger.Entry {
	o.t.Helper()
	state, err := ledger.Replay(o.t.Context(), src, o.key, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	var out bytes.Buffer
	digest, err := filter.Compile(&out, state)
	if err != nil {
		o.t.Fatal(err)
	}
	root, err := state.Map(io.Discard)
	if err != nil {
		o.t.Fatal(err)
	}
	return &ledger.Entry{
		Kind: ledger.KindEpoch, Time: o.at(), Size: state.Size(), Digest: ledger.Digest(digest), Bytes: uint64(out.Len()), Count: uint64(state.Len()),
		Layout: filter.Version, Map: root,
	}
}

func (o *operator) epoch() { o.add(o.epochEntry()) }

type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = s[n]
	}
	return out, nil
}

// publish writes and signs all of the log.
func (o *operator) publish() {
	o.t.Helper()
	var hashes storedHashes
	for i, b := range o.raw {
		h, err := tlog.StoredHashes(int64(i), b, hashes)
		if err != nil {
			o.t.Fatal(err)
		}
		hashes = append(hashes, h...)
	}
	for _, tile := range tlog.NewTiles(8, 0, int64(len(o.raw))) {
		data, err := tlog.ReadTileData(tile, hashes)
		if err != nil {
			o.t.Fatal(err)
		}
		o.files[ledger.TilePath(tile.L, uint64(tile.N), tile.W%256)] = data
		if tile.L > 0 {
			continue
		}
		var bundle []byte
		for _, e := range o.raw[tile.N*256:][:tile.W] {
			bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(e))), e...)
		}
		o.files[ledger.BundlePath(uint64(tile.N), tile.W%256)] = bundle
	}
	root, err := tlog.TreeHash(int64(len(o.raw)), hashes)
	if err != nil {
		o.t.Fatal(err)
	}
	o.files[ledger.CheckpointPath] = o.sign(int64(len(o.raw)), root)
}

// sign makes a checkpoint.
func (o *operator) sign(size int64, root tlog.Hash) []byte {
	o.t.Helper()
	text := fmt.Sprintf("%s\n%d\n%s\n", o.signer.Name(), size, base64.StdEncoding.EncodeToString(root[:]))
	b, err := note.Sign(&note.Note{Text: text}, o.signer)
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

// witness cosigns checkpoints.
type witness struct {
	name string
	key  ed25519.PrivateKey
}

func newWitness(name string) witness {
	seed := sha256.Sum256([]byte(name))
	return witness{name, ed25519.NewKeyFromSeed(seed[:])}
}

// id is the witness's name and its key, as a policy and a signature's line have them
// (https://c2sp.org/signed-note, type 0x04).
func (w witness) id() (hash, key []byte) {
	key = append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(slices.Concat([]byte(w.name+"\n"), key))
	return sum[:4], key
}

func (w witness) line() string {
	hash, key := w.id()
	return fmt.Sprintf("witness %s %s+%x+%s\n", strings.Split(w.name, ".")[0], w.name, hash, base64.StdEncoding.EncodeToString(key))
}

// cosign adds a cosignature to the log's checkpoint (https://c2sp.org/tlog-cosignature).
func (w witness) cosign(o *operator, at time.Time) {
	raw := string(o.files[ledger.CheckpointPath])
	text := raw[:strings.Index(raw, "\n\n")+1]
	sig := ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), text))
	hash, _ := w.id()
	blob := append(binary.BigEndian.AppendUint64(hash, uint64(at.Unix())), sig...)
	o.files[ledger.CheckpointPath] = fmt.Appendf(nil, "%s— %s %s\n", raw, w.name, base64.StdEncoding.EncodeToString(blob))
}

// customer is a machine that remembers what it saw.
type customer struct {
	t   *testing.T
	dir string
	now time.Time

	witnesses *ledger.WitnessPolicy
	everyList bool
	names     []string
}

func newCustomer(t *testing.T) *customer {
	return &customer{t: t, dir: t.TempDir(), now: morning.Add(time.Hour)}
}

// audit audits a log at the customer's time.
func (c *customer) audit(o *operator) *Report {
	c.t.Helper()
	r, err := c.try(o)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *customer) try(o *operator) (*Report, error) {
	c.t.Helper()
	m, err := OpenMemory(c.dir, o.vkey)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := Run(c.t.Context(), Config{Source: o, Key: o.key, Memory: m, Now: c.now, Witnesses: c.witnesses, EveryList: c.everyList, Names: c.names})
	if left, _ := filepath.Glob(filepath.Join(m.dir, "rebuilt-*")); len(left) > 0 {
		c.t.Errorf("left behind: %v", left)
	}
	return r, err
}

// codes are what a report found, as "check: code entry".
func codes(r *Report) string {
	var out []string
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			text := c.Name + ": " + f.Code
			if f.Entry != nil {
				text += fmt.Sprintf(" %d", *f.Entry)
			}
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}

// found holds a report against what should be found.
func found(t *testing.T, r *Report, verdict, want string) {
	t.Helper()
	if got := codes(r); r.Verdict != verdict || got != want {
		t.Errorf("%s: %q, want %s: %q", r.Verdict, got, verdict, want)
		for _, c := range r.Checks {
			for _, f := range c.Findings {
				t.Log(c.Name, f.Code, f.Subject, f.Detail)
			}
		}
	}
}
