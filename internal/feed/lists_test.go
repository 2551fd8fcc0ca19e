package feed

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRealLists reads every .txt, .csv, .lst and .adblock file below the folder
// that SHOJI_LISTS names, and logs what each folder gives. It fails on what no
// list may do: an error that is not a refusal, or a report that does not add up.
func TestRealLists(t *testing.T) {
	root := os.Getenv("SHOJI_LISTS")
	if root == "" {
		t.Skip("SHOJI_LISTS names no folder of lists")
	}
	type sum struct {
		files, refused, lines, claims, malformed, skipped int
		took                                              time.Duration
		reasons                                           map[Reason]int
	}
	sums := map[string]*sum{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".txt", ".csv", ".lst", ".adblock", ".hosts", ".rpz", ".plain"}, filepath.Ext(name)) {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		dir, _ := filepath.Rel(root, filepath.Dir(name))
		s := sums[dir]
		if s == nil {
			s = &sum{reasons: map[Reason]int{}}
			sums[dir] = s
		}
		start := time.Now()
		claims := 0
		rep, err := Read(f, Options{File: name}, func(Claim) error { claims++; return nil })
		s.took += time.Since(start)
		s.files++
		if refused := (*Refused)(nil); errors.As(err, &refused) {
			t.Log(err)
			s.refused++
			return nil
		} else if err != nil {
			return err
		}
		if claims != rep.Claims {
			t.Errorf("%s: %d claims yielded, %d reported", name, claims, rep.Claims)
		}
		skipped := 0
		for r, n := range rep.Skipped {
			skipped += n
			s.reasons[r] += n
		}
		s.lines += rep.Lines
		s.claims += claims
		s.malformed += rep.Malformed
		s.skipped += skipped
		for _, m := range rep.First {
			t.Logf("%s:%d: %s: %q (%s)", filepath.Base(name), m.Line, m.Reason, m.Text, rep.Format)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range slices.SortedFunc(maps.Keys(sums), func(a, b string) int { return cmp.Compare(a, b) }) {
		s := sums[dir]
		t.Logf("%-36s files %5d refused %3d lines %8d claims %8d malformed %6d skipped %6d %v", dir, s.files, s.refused, s.lines, s.claims, s.malformed, s.skipped, s.took.Round(time.Millisecond))
		for r, n := range s.reasons {
			t.Logf("%s%7d %s", strings.Repeat(" ", 40), n, r)
		}
	}
}
