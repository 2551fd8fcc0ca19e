package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/shoji-dns/shoji/ledger"
)

// Limits of what a witness can make this program hold or repeat.
const (
	maxReply   = 64 << 10 // octets of a reply: some twenty cosignatures of ML-DSA-44
	maxHeaders = 16 << 10 // octets of a reply's headers
	maxSaid    = 200      // octets of an error of the network
)

// asked carries the requests for one checkpoint, and remembers what came of them: Tessera's
// client does not tell it apart.
type asked struct {
	transport http.RoundTripper
	size      uint64            // of the checkpoint
	names     map[string]string // of witnesses, by address

	mu       sync.Mutex
	said     map[string]string // by witness, what its last reply was; "" for a success
	replies  map[string][]byte // by witness, what came with a success
	conflict bool
}

// RoundTrip implements http.RoundTripper. It reads the whole reply.
func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.transport.RoundTrip(r)
	if err == nil {
		var b []byte
		b, err = io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
		resp.Body.Close()
		if err == nil && len(b) > maxReply {
			err = fmt.Errorf("a reply of more than %d octets", maxReply)
		}
		resp.Body = io.NopCloser(bytes.NewReader(b))
		if err == nil {
			said, conflict := a.judge(resp, string(b))
			a.note(r, said, conflict)
			if resp.StatusCode == http.StatusOK {
				a.keep(r, b)
			}
			return resp, nil
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.note(r, noAnswer, false)
	default:
		a.note(r, fmt.Sprintf("%.*s", maxSaid, err), false)
	}
	return nil, err
}

// noAnswer stands for a witness whose time was over.
const noAnswer = "no answer"

func (a *asked) note(r *http.Request, said string, conflict bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said[a.names[r.URL.String()]] = said
	a.conflict = a.conflict || conflict
}

func (a *asked) keep(r *http.Request, reply []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.replies[a.names[r.URL.String()]] = reply
}

// collect is the signed checkpoint with the valid cosignatures that came, where they are too
// few: Tessera's client keeps none of them then.
func (a *asked) collect(signed []byte, witnesses []ledger.Witness) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Clone(signed)
	for _, w := range witnesses {
		n, err := note.Open(slices.Concat(signed, a.replies[w.Name]), note.VerifierList(w.Key))
		if err == nil {
			out = fmt.Appendf(out, "— %s %s\n", n.Sigs[0].Name, n.Sigs[0].Base64)
		}
	}
	return out
}

// judge says what a reply means (https://c2sp.org/tlog-witness), and whether it is that the
// witness has seen another log under this key.
func (a *asked) judge(resp *http.Response, body string) (said string, conflict bool) {
	switch resp.StatusCode {
	case http.StatusOK:
		return "", false
	case http.StatusConflict:
		if resp.Header.Get("Content-Type") != "text/x.tlog.size" {
			return "it has cosigned another tree of the same size", true
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(body, "\n"), 10, 63)
		switch {
		case err != nil:
			return "status 409 without a size", false
		case n > a.size:
			return fmt.Sprintf("it has cosigned %d entries, and these are %d", n, a.size), true
		}
		return fmt.Sprintf("it has cosigned %d entries and does not go on from there", n), false
	case http.StatusUnprocessableEntity:
		return "what it has cosigned is not the beginning of this log", true
	case http.StatusNotFound:
		return "it does not know this log; its operator has to add it", false
	case http.StatusForbidden:
		return "it knows this log by another key", false
	}
	return fmt.Sprintf("status %d", resp.StatusCode), false
}

// error says why too few witnesses cosigned.
func (a *asked) error(c ledger.Cosigned, timeout time.Duration) *Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := maps.Clone(a.said)
	for _, name := range a.names {
		if _, heard := said[name]; !heard {
			said[name] = noAnswer
		}
	}
	for _, s := range c.Cosignatures {
		delete(said, s.Witness)
	}
	for name, text := range said {
		switch text {
		case "":
			said[name] = "its reply holds no cosignature of this checkpoint by its key"
		case noAnswer:
			said[name] = fmt.Sprintf("no answer within %s", timeout)
		}
	}
	return &Error{Cosigned: c, Said: sorted(said), conflict: a.conflict}
}
