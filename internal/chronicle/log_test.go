package chronicle

import (
	"testing"

	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/forger"
	"github.com/shoji-dns/shoji/ledger"
)

// testLog is a log whose entries are signed when it is read.
type testLog struct {
	*forger.Log
	size    int
	pending []*ledger.Entry
}

func newLog() *testLog { return &testLog{Log: forger.New(1)} }

func (l *testLog) add(entries ...*ledger.Entry) {
	l.size += len(entries)
	l.pending = append(l.pending, entries...)
}

func (l *testLog) sign() {
	l.Add(l.pending...)
	l.pending = nil
}

// tip is the log's checkpoint.
func (l *testLog) tip(t testing.TB) ledger.Checkpoint {
	t.Helper()
	l.sign()
	c, err := ledger.ReadCheckpoint(t.Context(), l, l.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// compile is the list of the log as it is.
func (l *testLog) compile(t testing.TB) *filter.List {
	t.Helper()
	l.sign()
	return l.Compiled(t.TempDir())
}
