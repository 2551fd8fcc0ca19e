package curate

import (
	"fmt"
	"testing"
)

// BenchmarkOneInForce is the time from one name to the list in force that has it, with a
// writer that is opened for it, as a command does, at the defaults: two checkpoints, the
// second of which waits for a tenth of a second after the first. It is not a resolver's look
// for a new list, up to 50 ms, and not a process's start.
func BenchmarkOneInForce(b *testing.B) {
	dir := b.TempDir()
	n := 0
	for b.Loop() {
		w, err := Open(b.Context(), Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Import(b.Context(), []File{text("one.txt", fmt.Sprintf("host%d.example\n", n))}, claim, false); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
