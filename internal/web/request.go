package web

import (
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// Request is a request for a page.
type Request struct {
	*http.Request
	Lang string // "en" or "ja"

	site   *Site
	prefix string // of paths in the language that was asked for by path: "", "/en" or "/ja"
	of     network
}

// Link is a path on this site that keeps the language which was asked for by path.
func (r *Request) Link(path string) string { return r.prefix + path }

// machine reports whether JSON was asked for: by a path that ends so, or as what is wanted most.
func (r *Request) machine() bool {
	if strings.HasSuffix(r.URL.Path, ".json") {
		return true
	}
	first, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	kind, _, _ := strings.Cut(first, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}

// Spend takes n turns more than the one that every request takes, for what costs more
// than a page: an Error (429) where the client's network has none left.
func (r *Request) Spend(n int) error {
	if wait, ok := r.site.turns.take(r.of, n, r.site.conf.Now()); !ok {
		return tooMany(wait)
	}
	return nil
}

// SpendRare takes one of the few turns that a network has of what people do rarely: an Error (429) where none is left.
func (r *Request) SpendRare() error {
	if wait, ok := r.site.turns.takeRare(r.of, time.Now()); !ok {
		return Error{Status: http.StatusTooManyRequests, retry: wait, Text: Text{
			EN: "Your network has done this very often today. Please try again later, or from another network.",
			JA: "お使いのネットワークからは、本日すでに多数受け付けました。時間をおくか、別のネットワークからお試しください。"}}
	}
	return nil
}

// Value is a value of the query, or of a form that was sent by POST: valid UTF-8 without
// control characters but line feeds, without blanks around it, of at most max octets; "" where it is
// missing. What is not so is an Error (400 or 413).
func (r *Request) Value(name string, max int) (string, error) {
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return "", TooLarge
		}
		return "", BadRequest
	}
	v := r.URL.Query().Get(name)
	if r.Method == http.MethodPost {
		v = r.PostForm.Get(name)
	}
	v = strings.TrimSpace(strings.ReplaceAll(v, "\r\n", "\n"))
	if len(v) > max {
		return "", Refuse(http.StatusRequestEntityTooLarge, Text{
			EN: "What was entered is too long.", JA: "入力が長すぎます。",
		})
	}
	if !utf8.ValidString(v) || strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\n' || c == 0x7f }) {
		return "", Refuse(http.StatusBadRequest, Text{
			EN: "What was entered holds characters that are not text.", JA: "入力に文字でないものが含まれています。",
		})
	}
	return v, nil
}

// Address is the address of this site as its readers know it, such as https://desk.example,
// without a slash at the end: the configured one, or the one that was asked for.
func (r *Request) Address() string {
	if r.site.conf.Address != "" {
		return r.site.conf.Address
	}
	return "http://" + r.Host // which was checked
}
