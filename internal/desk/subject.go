package desk

import (
	"net/http"
	"strings"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/web"
)

// maxAsked is how long what somebody looks up may be, in octets: an address of a page, of
// which the host's name is taken.
const maxAsked = 1024

// errNoSubject is for what is neither a name nor an address.
var errNoSubject = web.Error{Status: http.StatusBadRequest, Text: web.Text{
	EN: "This is neither a domain name, such as www.example.com, nor an IP address, such as 192.0.2.7.",
	JA: "ドメイン名（www.example.com など）でも IP アドレス（192.0.2.7 など）でもありません。",
}}

// parseSubject reads what somebody asks about.
func parseSubject(text string) (curate.Subject, error) {
	s, err := curate.ParseAsked(text)
	if err != nil {
		return s, errNoSubject
	}
	return s, nil
}

// subjectText is a subject as people write it.
func subjectText(s curate.Subject) string {
	switch {
	case s.Prefix.IsValid() && s.Prefix.IsSingleIP():
		return s.Prefix.Addr().String()
	case s.Prefix.IsValid():
		return s.Prefix.String()
	}
	return nameText(s.Name.String())
}

// nameText is a name without the dot at its end.
func nameText(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// match finds what lists a subject: itself, or the nearest above it.
func match(list *filter.List, s curate.Subject) (filter.Verdict, string, bool) {
	if s.Prefix.IsValid() {
		v, ok := list.MatchAddr(s.Prefix.Addr())
		if !ok || int(v.Size) > s.Prefix.Bits() {
			return v, "", false
		}
		p := v.ListedPrefix(s.Prefix.Addr())
		return v, subjectText(curate.Subject{Prefix: p}), true
	}
	v, ok := list.MatchName(s.Name)
	if !ok {
		return v, "", false
	}
	return v, nameText(v.Listed(s.Name).String()), true
}
