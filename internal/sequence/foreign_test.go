//go:build unix

package sequence

import (
	"context"
	"slices"
	"testing"

	"github.com/shoji-dns/shoji/ledger"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/tlog"
)

// TestForeignToolsReadTheLog holds the log against Tessera's own client and
// checker, and their proofs against ours.
func TestForeignToolsReadTheLog(t *testing.T) { everywhere(t, foreignToolsReadTheLog) }

func foreignToolsReadTheLog(t *testing.T, dir string) {
	ctx := context.Background()
	l := mustOpen(t, dir)
	mustAppend(t, l, 0, 3)
	early, err := l.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, 3, 1500)
	fetch := client.FileFetcher{Root: l.dir}

	check := fsck.New(l.Verifier().Name(), l.Verifier(), fetch, leafHashes, fsck.Opts{N: 2})
	if err := check.Check(ctx); err != nil {
		t.Errorf("fsck: %v", err)
	}
	theirs, _, _, err := client.FetchCheckpoint(ctx, fetch.ReadCheckpoint, l.Verifier(), l.Verifier().Name())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Checkpoint(ctx)
	if err != nil || c.Size != theirs.Size || !slices.Equal(c.Root[:], theirs.Hash) {
		t.Fatalf("checkpoint %+v, %v; the client reads %+v", c, err, theirs)
	}
	proofs, err := client.NewProofBuilder(ctx, c.Size, fetch.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{0, 2, 255, 256, 1023, 1499} {
		want, err := proofs.InclusionProof(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ledger.Prove(ctx, l.Source(), c, n)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a tlog.Hash, b []byte) bool { return slices.Equal(a[:], b) }) {
			t.Errorf("proofs of entry %d differ", n)
		}
		raw, err := listEntry(n).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.VerifyInclusion(c, n, raw, got); err != nil {
			t.Errorf("entry %d: %v", n, err)
		}
	}
	if err := ledger.VerifyConsistency(ctx, l.Source(), early, c); err != nil {
		t.Errorf("consistency: %v", err)
	}
}

// leafHashes are the leaf hashes of a bundle, as fsck wants them.
func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	out := make([][]byte, len(b.Entries))
	for i, e := range b.Entries {
		h := tlog.RecordHash(e)
		out[i] = h[:]
	}
	return out, nil
}
