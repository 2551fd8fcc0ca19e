// Package sde holds structured DNS errors: what a resolver that filters tells a client that
// asks for it, as JSON in the EXTRA-TEXT of an Extended DNS Error
// (draft-ietf-dnsop-structured-dns-error-22), and which entry of which public database it is
// about (draft-nottingham-dnsop-censorship-transparency-01).
//
// # Format
//
// One I-JSON object (RFC 7493) without blanks:
//
//	c     contacts: URIs of the schemes mailto and tel
//	j     justification, for people
//	s     sub-error: a number of the constants below
//	o     organisation that filters
//	l     language of j and o (RFC 5646)
//	fdbs  array of {"db": database, "id": incident}: here the log's name and the entry's number
//
// All that is not final about it stands here, but for the option's code, which is with the
// other options' in package dns.
//
// # Limits and known faults
//
// MaxText octets. The drafts want an encrypted transport between client and server; who parses
// says over which one the text came. A database's name means something to clients once it is in
// a registry; the log's own name, the default, does to who knows the log.
package sde

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shoji-dns/shoji/internal/dns"
)

// MaxText is the longest text of a Template, and the longest that Parse reads, in octets. With
// the longest name, an SOA record and cookies it fits into 1232.
const MaxText = 600

// maxIncidents bounds what Parse reads of the databases.
const maxIncidents = 16

// The sub-errors (draft-ietf-dnsop-structured-dns-error-22, IANA considerations).
const (
	Malware        = 1
	Phishing       = 2
	Spam           = 3
	Spyware        = 4
	NetworkPolicy  = 5
	OperatorPolicy = 6
)

// SubErrorText is the meaning of a sub-error; "" where it has none.
func SubErrorText(s int) string {
	switch s {
	case Malware:
		return "malware"
	case Phishing:
		return "phishing"
	case Spam:
		return "spam"
	case Spyware:
		return "spyware"
	case NetworkPolicy:
		return "network operator's policy"
	case OperatorPolicy:
		return "DNS operator's policy"
	}
	return ""
}

// Applies reports whether a sub-error may stand beside an Extended DNS Error.
func Applies(s int, code dns.ErrorCode) bool {
	switch s {
	case Malware, Phishing, Spam, Spyware:
		return code == dns.EDEBlocked || code == dns.EDEFiltered
	case NetworkPolicy, OperatorPolicy:
		return code == dns.EDEBlocked
	}
	return false
}

// Detail is what a structured error says.
type Detail struct {
	Contact       []string   `json:"c,omitempty"`
	Justification string     `json:"j,omitempty"`
	SubError      int        `json:"s,omitempty"`
	Organisation  string     `json:"o,omitempty"`
	Language      string     `json:"l,omitempty"`
	Incidents     []Incident `json:"fdbs,omitempty"`
}

// Incident is an entry of a public database of what is filtered.
type Incident struct {
	Database string `json:"db"`
	ID       string `json:"id"`
}

// Template is a Detail that lacks the incident's number. It does not change.
type Template struct{ texts []text }

// text is what is said of one database: whole, and where there is little room.
type text struct{ whole, short affix }

// affix is the text before and behind the number.
type affix struct{ before, behind []byte }

// NewTemplate makes a Template. Texts end in an incident of one of the databases; of "", or where
// there is none, in no incident. An error says which field of the Detail cannot be sent.
func NewTemplate(d Detail, databases ...string) (*Template, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if len(databases) == 0 {
		databases = []string{""}
	}
	short := d
	short.Justification, short.Organisation, short.Language = "", "", ""
	var t Template
	for _, database := range databases {
		whole, err := newAffix(d, database)
		if err != nil {
			return nil, err
		}
		if n := whole.size() + maxDigits; n > MaxText {
			return nil, fmt.Errorf("a structured error of %d octets is longer than %d: shorten contact, justification or organisation", n, MaxText)
		}
		of := text{whole: whole}
		if of.short, err = newAffix(short, database); err != nil {
			return nil, err
		}
		t.texts = append(t.texts, of)
	}
	return &t, nil
}

// maxDigits are the digits of the largest number.
const maxDigits = 20

func (a affix) size() int { return len(a.before) + len(a.behind) }

func newAffix(d Detail, database string) (affix, error) {
	const mark = "\x00" // that no text holds
	if database != "" {
		d.Incidents = []Incident{{Database: database, ID: mark}}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return affix{}, err
	}
	before, behind, _ := bytes.Cut(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte(`\u0000`))
	return affix{before, behind}, nil
}

// Append appends the text for an entry of a database, the one of that place among NewTemplate's,
// if it has room for so many octets: all of it, else without justification and organisation, else
// nothing (section "Server Generating Response").
func (t *Template) Append(out []byte, database int, entry uint64, room int) []byte {
	if database >= len(t.texts) {
		return out // no other database is named in its place
	}
	of := &t.texts[database]
	for _, a := range [...]*affix{&of.whole, &of.short} {
		start := len(out)
		out = append(out, a.before...)
		if len(a.behind) > 0 {
			out = strconv.AppendUint(out, entry, 10)
		}
		if out = append(out, a.behind...); len(out)-start <= room {
			return out
		}
		out = out[:start]
	}
	return out
}

// language is the syntax of language tags, as far as it is told by its letters (RFC 5646 §2.1).
var language = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// contact is a URI of a scheme that may be sent: nothing that a client would fetch.
var contact = regexp.MustCompile(`^(mailto:[^\s<>"\x00-\x1f\x7f]+@[^\s<>"\x00-\x1f\x7f]+|tel:[0-9+().;=A-Za-z-]+)$`)

func (d *Detail) check() error {
	for _, c := range d.Contact {
		if !contact.MatchString(c) {
			return fmt.Errorf("contact: %q is neither like mailto:desk@isp.example nor like tel:+81-3-0000-0000", c)
		}
	}
	for _, f := range []struct{ key, text string }{{"justification", d.Justification}, {"organisation", d.Organisation}} {
		if !utf8.ValidString(f.text) || strings.ContainsFunc(f.text, unicode.IsControl) {
			return fmt.Errorf("%s: %q is not text in UTF-8 without control characters", f.key, f.text)
		}
		if f.text != "" && d.Language == "" {
			return fmt.Errorf("language: %s needs one, such as en", f.key)
		}
	}
	if d.Language != "" && !language.MatchString(d.Language) {
		return fmt.Errorf("language: %q is no language tag, such as en or ja", d.Language)
	}
	return nil
}

// ErrPlain says that a text is not structured.
var ErrPlain = errors.New("not a structured error")

// Parse reads the text of an Extended DNS Error as a client does (section "Client Processing
// Response"): contacts of other schemes and a sub-error that does not fit the code are left out,
// unknown names are ignored, and what says nothing in the end is ErrPlain.
func Parse(code dns.ErrorCode, text string) (Detail, error) {
	switch code {
	case dns.EDEBlocked, dns.EDECensored, dns.EDEFiltered:
	default:
		return Detail{}, ErrPlain
	}
	if len(text) > MaxText || !utf8.ValidString(text) || !strings.HasPrefix(text, "{") {
		return Detail{}, ErrPlain
	}
	var d Detail
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return Detail{}, ErrPlain
	}
	var known []string
	for _, c := range d.Contact {
		if contact.MatchString(c) {
			known = append(known, c)
		}
	}
	d.Contact = known
	if !Applies(d.SubError, code) {
		d.SubError = 0
	}
	if len(d.Incidents) > maxIncidents {
		d.Incidents = d.Incidents[:maxIncidents]
	}
	if len(d.Contact) == 0 && d.Justification == "" && d.SubError == 0 {
		return Detail{}, ErrPlain
	}
	return d, nil
}
