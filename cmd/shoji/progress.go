package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress shows how far long work has come, on one line of a terminal that it
// rewrites. Where w is no terminal it shows nothing.
type progress struct {
	w    io.Writer
	last time.Time
	used bool
}

// redraw is the least time between two drawings.
const redraw = 100 * time.Millisecond

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{w: w}
	}
	return &progress{}
}

// show draws stage and its count; total 0 means that the end is not known.
func (p *progress) show(stage string, done, total uint64) {
	if p.w == nil || time.Since(p.last) < redraw && done != total {
		return
	}
	p.last, p.used = time.Now(), true
	if total == 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%s: %d", stage, done)
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s: %d of %d (%d%%)", stage, done, total, 100*done/total)
}

// clear removes the line.
func (p *progress) clear() {
	if p.used {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.used = false
	}
}
