package curate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/internal/sequence"
	"github.com/shoji-dns/shoji/ledger"
)

// witnesses are away after a number of cosignatures; what they cosign they only remember.
type witnesses struct {
	left     int
	cosigned map[string]bool
}

func (w *witnesses) Enough(signed []byte) error {
	if w.cosigned[string(signed)] {
		return nil
	}
	return errors.New("not cosigned")
}

func (w *witnesses) Cosign(_ context.Context, signed []byte, _ note.Verifier, _ ledger.Source) ([]byte, error) {
	if w.left == 0 {
		return signed, errors.New("nobody answers")
	}
	w.left--
	w.cosigned[string(signed)] = true
	return signed, nil
}

// At whichever step of an update the witnesses go away, the list in force stays whole, and
// when they are back the update comes into force by itself, once.
func TestUpdateWaitsForWitnesses(t *testing.T) {
	for left := range 3 {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			n := news(t)
			w := &witnesses{left: 100, cosigned: map[string]bool{}}
			loop := func() *Loop {
				l := n.loop()
				l.cfg.Log = sequence.Config{Witnesses: w, PublishTimeout: time.Millisecond}
				return l
			}
			n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
			if _, err := loop().Update(t.Context(), UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			n.listed("one.example")
			before := inForce(t, n.dir).Epoch()
			n.texts["a"], n.texts["b"] = lines("one.example", "two.example"), lines("one.example", "two.example")
			w.left = left
			var size uint64
			for range 3 { // again and again, while they are away
				_, err := loop().Update(t.Context(), UpdateOptions{})
				if left < 2 && !errors.Is(err, sequence.ErrUncosigned) && size == 0 || left == 2 && err != nil {
					t.Fatal(err)
				}
				if left < 2 {
					n.listed("one.example")
				}
				if now := storedSize(t, n.dir, w); size == 0 {
					size = now
				} else if now != size {
					t.Fatalf("the log grows while nobody cosigns it: from %d to %d entries", size, now)
				}
			}
			w.left = 100
			if _, err := loop().Update(t.Context(), UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			n.listed("one.example", "two.example")
			if l := inForce(t, n.dir); l.Epoch() <= before || l.Count() != 2 {
				t.Errorf("epoch %d of %d listings after %d", l.Epoch(), l.Count(), before)
			}
			n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
			n.now = n.now.Add(2 * time.Hour)
			size = storedSize(t, n.dir, w)
			if _, err := loop().Update(t.Context(), UpdateOptions{Due: true}); err != nil {
				t.Fatal(err)
			}
			if now := storedSize(t, n.dir, w); now > size+2 { // a delisting at most, and its epoch
				t.Errorf("%d entries after %d", now, size)
			}
		})
	}
}

// storedSize is how many entries the log has, published or not.
func storedSize(t *testing.T, dir string, w sequence.Cosigner) uint64 {
	t.Helper()
	l, err := sequence.Open(t.Context(), sequence.Config{Dir: dir, Witnesses: w})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Size()
}

// What an appeal brings about is cosigned as all else is, and comes into force no earlier.
func TestAppealsAreCosigned(t *testing.T) {
	n := news(t)
	w := &witnesses{left: 100, cosigned: map[string]bool{}}
	loop := func() *Loop {
		l := n.loop()
		l.cfg.Log = sequence.Config{Witnesses: w, PublishTimeout: time.Millisecond}
		return l
	}
	n.texts["a"], n.texts["b"] = lines("one.example", "two.example"), lines("one.example", "two.example")
	if _, err := loop().Update(t.Context(), UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.now = n.now.Add(2 * time.Hour)
	n.texts["b"] = lines("two.example")
	s, err := ParseAsked("one.example")
	if err != nil {
		t.Fatal(err)
	}
	rule := func(h *Hearing) (*Ruling, error) { return ends(h), nil }
	w.left = 0
	if err := loop().Hear(t.Context(), s, rule); !errors.Is(err, sequence.ErrUncosigned) {
		t.Errorf("an appeal went past the witnesses: %v", err)
	}
	n.listed("one.example", "two.example")
	w.left = 100
	if err := loop().Hear(t.Context(), s, rule); err != nil {
		t.Fatal(err)
	}
	n.listed("two.example")
	published, err := os.ReadFile(filepath.Join(sequence.Folder(n.dir), ledger.CheckpointPath))
	if err != nil || w.Enough(published) != nil {
		t.Errorf("what is published is not cosigned: %v", err)
	}
}
