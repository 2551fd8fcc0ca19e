package docket

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/database"
)

var errShut = errors.New("nobody hears")

// open is a docket in a file, before which nobody hears.
func open(t *testing.T) (d *Docket, dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := database.Open(filepath.Join(dir, "desk.db"), database.Options{Erase: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	d, err = Open(t.Context(), Config{Database: db, Dir: dir, Now: func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) },
		Hear: func(context.Context, curate.Subject, func(*curate.Hearing) (*curate.Ruling, error)) error {
			return errShut
		}})
	if err != nil {
		t.Fatal(err)
	}
	return d, dir
}

func submit(t *testing.T, d *Docket) (string, error) {
	t.Helper()
	return d.Submit(t.Context(), Appeal{Subject: "one.example", Cause: "other", Words: "some words that are telling", Contact: "somebody@where.example"})
}

func full(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Code == QueueFull
}

// What strangers can make the docket hold has an end: statements that wait, statements of a day, and
// open cases.
func TestTheDocketIsBounded(t *testing.T) {
	d, _ := open(t)
	for i := range MaxWaiting {
		if _, err := submit(t, d); err != nil {
			t.Fatalf("statement %d: %v", i, err)
		}
	}
	if _, err := submit(t, d); !full(err) {
		t.Errorf("more than %d statements wait: %v", MaxWaiting, err)
	}
	for _, fill := range []string{
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO docket_statement SELECT 'r' || i, '', '', '', '', '', 'unlisted', 1772323200000, 1 FROM n`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO docket_case SELECT 'c' || i, '', 'referred', 1, 0, 0, 1, 0, '[]', '{}' FROM n`,
	} {
		for _, empty := range []string{`DELETE FROM docket_statement`, `DELETE FROM docket_case`} {
			if _, err := d.db.Exec(t.Context(), empty); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := submit(t, d); err != nil {
			t.Fatal(err)
		}
		if _, err := d.db.Exec(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
		if _, err := submit(t, d); !full(err) {
			t.Errorf("%s: %v", fill, err)
		}
	}
}

// One statement that cannot be heard keeps no other waiting, and is tried again.
func TestNobodyWaitsForAnother(t *testing.T) {
	d, _ := open(t)
	heard := map[string]int{}
	d.cfg.Hear = func(_ context.Context, s curate.Subject, _ func(*curate.Hearing) (*curate.Ruling, error)) error {
		if heard[s.String()]++; s.String() == "bad.example" {
			return errShut
		}
		return nil
	}
	var receipts []string
	for _, name := range []string{"bad.example", "good.example"} {
		receipt, err := d.Submit(t.Context(), Appeal{Subject: name, Cause: "other"})
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, receipt)
	}
	_ = d.hearAll(t.Context())
	if err := d.hearAll(t.Context()); !errors.Is(err, errShut) || heard["bad.example"] != 2 || heard["good.example"] == 0 {
		t.Errorf("%v, %v", heard, err)
	}
	if s, err := d.Statement(t.Context(), receipts[0]); err != nil || s.State != Waiting {
		t.Errorf("%+v, %v", s, err)
	}
}

// What somebody had deleted is not on the disk any more.
func TestWhatIsDeletedIsErased(t *testing.T) {
	d, dir := open(t)
	on := func(text string) bool {
		files, err := filepath.Glob(filepath.Join(dir, "desk.db*"))
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte(text)) {
				return true
			}
		}
		return false
	}
	receipt, err := submit(t, d)
	if err != nil || !on("somebody@where.example") || !on("words that are telling") {
		t.Fatalf("%v: the test looks in the wrong place", err)
	}
	if on(receipt) {
		t.Error("the receipt itself is kept")
	}
	if err := d.DeleteContact(t.Context(), receipt); err != nil || on("somebody@where.example") || !on("words that are telling") {
		t.Errorf("the contact: %v", err)
	}
	if err := d.Withdraw(t.Context(), receipt); err != nil || on("words that are telling") {
		t.Errorf("the words: %v", err)
	}
	if _, err := d.Statement(t.Context(), "no receipt"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// Whatever is typed into the form is either refused or can be shown as it is, and is then
// taken as the same again.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"one.example", "*.one.example", "192.0.2.1", "2001:db8::/32", "bücher.example", " ONE.example. ", "a\x00b", "\u202eevil", "a\r\nb", "", strings.Repeat("a", 2000)} {
		f.Add(s, s, s)
	}
	f.Fuzz(func(t *testing.T, subject, words, contact string) {
		a := Appeal{Subject: subject, Cause: "other", Words: words, Contact: contact}
		s, err := a.check()
		if err != nil {
			if refusal := (*Refusal)(nil); !errors.As(err, &refusal) || refusal.Code == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, text := range []string{a.Subject, a.Words, a.Contact} {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r\u202e\u2066") || len(text) > MaxWords {
				t.Fatalf("%q was taken", text)
			}
		}
		again := a
		if s2, err := again.check(); err != nil || again != a || s2 != s {
			t.Fatalf("%+v was taken, and %+v: %v", a, again, err)
		}
	})
}
