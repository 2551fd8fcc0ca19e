package sequence

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cosig "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/ledger"
)

// witness is a witness in memory that follows tlog-witness: it cosigns what continues what
// it cosigned before.
type witness struct {
	t      testing.TB
	key    ed25519.PrivateKey
	policy *ledger.WitnessPolicy
	name   string
	hash   uint32

	mu    sync.Mutex
	away  error
	seen  ledger.Checkpoint
	asked int
}

func newWitness(t testing.TB) *witness {
	t.Helper()
	w := &witness{t: t, key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), name: "witness.test"}
	plain, err := note.NewEd25519VerifierKey(w.name, w.key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := cosig.VKeyToCosignatureV1(plain)
	if err != nil {
		t.Fatal(err)
	}
	if w.policy, err = ledger.ParseWitnessPolicy([]byte("witness w " + vkey + "\nquorum w\n")); err != nil {
		t.Fatal(err)
	}
	w.hash = w.policy.Witnesses()[0].Key.KeyHash()
	return w
}

// goes is a witness that is away with an error, or back with nil.
func (w *witness) goes(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = err
}

// conflict is an error of a witness that has seen another log.
type conflict struct{}

func (conflict) Error() string  { return "it has seen another log" }
func (conflict) Conflict() bool { return true }

func (w *witness) Enough(signed []byte) error {
	return w.policy.Check(ledger.Checkpoint{Raw: signed}).Err()
}

func (w *witness) Cosign(ctx context.Context, signed []byte, key note.Verifier, log ledger.Source) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.away != nil {
		return signed, w.away
	}
	c, err := ledger.OpenCheckpoint(signed, key)
	if err != nil {
		return signed, err
	}
	if err := ledger.VerifyConsistency(ctx, log, w.seen, c); err != nil {
		return signed, errors.Join(conflict{}, err)
	}
	w.seen = c
	text, _, _ := strings.Cut(string(signed), "\n\n")
	sig := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, w.hash), uint64(testTime.Unix()))
	sig = append(sig, ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", testTime.Unix(), text))...)
	return fmt.Appendf(signed, "— %s %s\n", w.name, base64.StdEncoding.EncodeToString(sig)), nil
}

func openWitnessed(t testing.TB, dir string, w *witness, without bool) *Log {
	t.Helper()
	cfg := settings(dir)
	cfg.Witnesses, cfg.WithoutWitnesses, cfg.PublishTimeout = w, without, time.Millisecond
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// published is the size of the checkpoint that readers see, and whether it is cosigned.
func published(t testing.TB, l *Log, w *witness) (uint64, bool) {
	t.Helper()
	c, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Size, w.policy.Check(c).Satisfied
}

var errAway = errors.New("connection refused")

// With a policy nothing is published without its cosignatures; what is stored comes when the
// witness is back, and until then nothing more is stored.
func TestWaitForWitnesses(t *testing.T) { everywhere(t, waitForWitnesses) }

func waitForWitnesses(t *testing.T, dir string) {
	w := newWitness(t)
	l := openWitnessed(t, dir, w, false)
	mustAppend(t, l, 0, 300)
	if size, ok := published(t, l, w); size != 300 || !ok || Waiting(dir) || l.Uncosigned() != nil {
		t.Fatalf("%d entries, cosigned %t, %v", size, ok, l.Uncosigned())
	}
	w.goes(errAway)
	first, next, err := l.Append(t.Context(), listEntries(300, 500), nil)
	if first != 300 || next != 500 || !errors.Is(err, ErrUncosigned) || !errors.Is(err, errAway) || !strings.Contains(err.Error(), "log entries 300 to 499 are stored and not in force") {
		t.Fatalf("away: %d, %d, %v", first, next, err)
	}
	for range 3 {
		if first, next, err := l.Append(t.Context(), listEntries(500, 501), nil); first != 500 || next != 500 || !errors.Is(err, ErrUncosigned) {
			t.Fatalf("still away: %d, %d, %v", first, next, err)
		}
		l.Close()
		l = openWitnessed(t, dir, w, false)
		if size, ok := published(t, l, w); size != 300 || !ok || !Waiting(dir) || !errors.Is(l.Uncosigned(), ErrUncosigned) || l.Size() != 500 {
			t.Fatalf("still away: %d entries published, cosigned %t, of %d", size, ok, l.Size())
		}
	}
	l.Close() // whoever opens the log without the policy, for a backup, publishes nothing
	plain, err := Open(t.Context(), settings(dir))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := plain.Checkpoint(t.Context()); err != nil || c.Size != 300 || !Waiting(dir) {
		t.Fatalf("opened without witnesses: %d entries, %v", c.Size, err)
	}
	plain.Close()
	l = openWitnessed(t, dir, w, false)
	w.goes(nil)
	mustAppend(t, l, 500, 501)
	if size, ok := published(t, l, w); size != 501 || !ok || Waiting(dir) {
		t.Fatalf("back: %d entries, cosigned %t", size, ok)
	}
	wantLog(t, l, 501)
}

// It is enough to open the log again once the witness is back.
func TestOpenAsksAgain(t *testing.T) {
	dir, w := t.TempDir(), newWitness(t)
	l := openWitnessed(t, dir, w, false)
	w.goes(errAway)
	if _, _, err := l.Append(t.Context(), listEntries(0, 7), nil); !errors.Is(err, ErrUncosigned) {
		t.Fatal(err)
	}
	l.Close()
	w.goes(nil)
	l = openWitnessed(t, dir, w, false)
	if size, ok := published(t, l, w); size != 7 || !ok || l.Uncosigned() != nil {
		t.Errorf("%d entries, cosigned %t", size, ok)
	}
}

// An operator who chose to publish without witnesses does so, is told, and gets the
// cosignatures later. A witness that has seen another log is no witness that is away.
func TestPublishWithoutWitnesses(t *testing.T) { everywhere(t, publishWithoutWitnesses) }

func publishWithoutWitnesses(t *testing.T, dir string) {
	w := newWitness(t)
	w.goes(errAway)
	l := openWitnessed(t, dir, w, true)
	mustAppend(t, l, 0, 3)
	mustAppend(t, l, 3, 4)
	if size, ok := published(t, l, w); size != 4 || ok || !Waiting(dir) || !errors.Is(l.Uncosigned(), ErrUncosigned) {
		t.Fatalf("away: %d entries, cosigned %t, %v", size, ok, l.Uncosigned())
	}
	w.goes(conflict{})
	if _, next, err := l.Append(t.Context(), listEntries(4, 6), nil); next != 6 || !errors.Is(err, ErrUncosigned) {
		t.Fatalf("conflict: %d, %v", next, err)
	}
	if size, _ := published(t, l, w); size != 4 {
		t.Fatalf("%d entries were published although a witness has seen another log", size)
	}
	l.Close()
	w.goes(nil)
	l = openWitnessed(t, dir, w, true)
	if size, ok := published(t, l, w); size != 6 || !ok || Waiting(dir) || l.Uncosigned() != nil {
		t.Fatalf("back: %d entries, cosigned %t, %v", size, ok, l.Uncosigned())
	}
}

// A policy that comes to a log that is there has its newest checkpoint cosigned.
func TestPolicyForALogThatIsThere(t *testing.T) { everywhere(t, policyForALogThatIsThere) }

func policyForALogThatIsThere(t *testing.T, dir string) {
	w := newWitness(t)
	l := mustOpen(t, dir)
	mustAppend(t, l, 0, 1000)
	l.Close()
	l = openWitnessed(t, dir, w, false)
	if size, ok := published(t, l, w); size != 1000 || !ok {
		t.Fatalf("%d entries, cosigned %t", size, ok)
	}
	_, _, _, err := client.FetchCheckpoint(t.Context(), client.FileFetcher{Root: l.dir}.ReadCheckpoint, l.Verifier(), l.Verifier().Name())
	if err != nil {
		t.Errorf("Tessera's client reads a cosigned checkpoint: %v", err)
	}
}

// What witnesses were shown binds the log even if the driver's record of it is lost and the
// process ended before the publication: there is no second history.
func TestShownToWitnessesBinds(t *testing.T) {
	dir, w := t.TempDir(), newWitness(t)
	l := openWitnessed(t, dir, w, false)
	mustAppend(t, l, 0, 300)
	w.goes(errAway)
	if _, _, err := l.Append(t.Context(), listEntries(300, 700), nil); !errors.Is(err, ErrUncosigned) {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.seen = l.signed // it saw the checkpoint, and its answer was lost
	w.mu.Unlock()
	l.Close()
	if err := os.Remove(filepath.Join(Folder(dir), treeFile)); err != nil {
		t.Fatal(err)
	}
	w.goes(nil)
	l = openWitnessed(t, dir, w, false)
	if size, ok := published(t, l, w); size != 700 || !ok {
		t.Fatalf("%d entries, cosigned %t", size, ok)
	}
	wantLog(t, l, 700)
	w.goes(errAway)
	if _, _, err := l.Append(t.Context(), listEntries(700, 701), nil); !errors.Is(err, ErrUncosigned) {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(filepath.Join(dir, signedFile), []byte("damage"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir, Witnesses: w}); err == nil || !strings.Contains(err.Error(), signedFile) {
		t.Errorf("a damaged record of what was signed: %v", err)
	}
}

// The caller's end of patience ends the wait for witnesses; the entries stay stored.
func TestCallerEndsTheWait(t *testing.T) {
	dir, w := t.TempDir(), newWitness(t)
	l, err := Open(t.Context(), Config{Dir: dir, Witnesses: w, PublishTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.goes(errAway)
	ctx, cancel := context.WithCancel(t.Context())
	_, next, err := l.Append(ctx, func(yield func(*ledger.Entry) bool) {
		yield(listEntry(0))
	}, func(uint64) { cancel() })
	if next != 1 || !errors.Is(err, ErrUncosigned) {
		t.Errorf("%d, %v", next, err)
	}
}
