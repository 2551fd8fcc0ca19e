// Package citation holds the text by which a filtered answer names the entry of the public log that
// filters it, made and read: in the EXTRA-TEXT of an Extended DNS Error (RFC 8914), for who asks for
// structured errors as an incident (package sde).
//
// # Format
//
//	log entry 4711                           of a resolver that goes by one log
//	log entry 4711 of log.isp.example        of one that follows several: the log's name, as its checkpoints have it
//	log entry 4711 of shoji-log+0c3f7a51     with the hash of its key, where several have that name
//
// What is written otherwise is no citation. In a structured error the database of an incident is the
// log's name in the same forms.
//
// # Limits and known faults
//
// An operator may give the database of his only log another name than the log's, which looks like
// another log's citation: who reads one finds out by the entry (Citation.Certain).
package citation

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/sde"
)

const (
	prefix = "log entry "
	of     = " of "
)

// MaxLog is how long a log's name is told, in octets: so that the rest of an Extended DNS Error
// beside it fits into the EXTRA-TEXT. What is longer is cut, and then names no log: who
// configures logs refuses such names.
const MaxLog = 128

// MaxText is how long a text is at most, in octets; the largest entry has 20 digits.
const MaxText = len(prefix) + 20 + len(of) + MaxLog

// Append appends the text for an entry of a log; log is "" where the resolver goes by one alone.
func Append(out []byte, entry uint64, log string) []byte {
	out = strconv.AppendUint(append(out, prefix...), entry, 10)
	if log == "" {
		return out
	}
	return append(append(out, of...), log[:min(len(log), MaxLog)]...)
}

// Names are the names by which logs are told that are followed together, by their verifier keys.
func Names(keys ...string) []string {
	var out []string
	count := map[string]int{}
	for _, key := range keys {
		name, rest, _ := strings.Cut(key, "+")
		hash, _, _ := strings.Cut(rest, "+")
		count[name]++
		out = append(out, name+"+"+hash)
	}
	for i, whole := range out {
		if name, _, _ := strings.Cut(whole, "+"); count[name] == 1 {
			out[i] = name
		}
	}
	return out
}

// Citation is what a text names.
type Citation struct {
	Entry uint64
	Log   string // its name, or NAME+HASH; "" where the resolver goes by one log and does not say
	// Certain is whether Log names a log, as the plain text does. Where it does not, the name is a
	// database's, which may be that of any log.
	Certain bool
}

// Parse reads the text of an Extended DNS Error. A structured one may name several entries, a
// plain one names one at most.
func Parse(code dns.ErrorCode, text string) []Citation {
	if !Filters(code) {
		return nil
	}
	if d, err := sde.Parse(code, text); err == nil {
		var out []Citation
		for _, i := range d.Incidents {
			if n, ok := number(i.ID); ok {
				out = append(out, Citation{Entry: n, Log: i.Database})
			}
		}
		return out
	}
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return nil
	}
	digits, log, named := strings.Cut(rest, of)
	n, ok := number(digits)
	if !ok || named && !valid(log) {
		return nil
	}
	return []Citation{{Entry: n, Log: log, Certain: true}}
}

// Filters reports whether an error says that an answer is filtered.
func Filters(code dns.ErrorCode) bool {
	switch code {
	case dns.EDEForgedAnswer, dns.EDEBlocked, dns.EDECensored, dns.EDEFiltered:
		return true
	}
	return false
}

// number reads an entry's number in the one way that it is written.
func number(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == text
}

// valid reports whether a text is a log's name as it is told: one of a signed note's key
// (https://c2sp.org/signed-note), alone or with the key's hash.
func valid(log string) bool {
	name, hash, hashed := strings.Cut(log, "+")
	if name == "" || len(log) > MaxLog || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsSpace) {
		return false
	}
	return !hashed || len(hash) == 8 && strings.Trim(hash, "0123456789abcdef") == ""
}

// Read reads what a reply says of its being filtered: whether it is, and which entries it names
// for that, in the reply's order.
func Read(m *dns.Message) (filtered bool, all []Citation) {
	if m.EDNS == nil {
		return false, nil
	}
	for _, o := range m.EDNS.Options {
		if o.Code != dns.OptionEDE || len(o.Data) < 2 {
			continue
		}
		if code := dns.ErrorCode(binary.BigEndian.Uint16(o.Data)); Filters(code) {
			filtered, all = true, append(all, Parse(code, string(o.Data[2:]))...)
		}
	}
	return filtered, all
}

// Key is what is known of a log by its verifier key; a note.Verifier has it.
type Key interface {
	Name() string
	KeyHash() uint32
}

// Of reports whether a citation is of the log of a key, as far as the name tells.
func (c Citation) Of(k Key) bool {
	return c.Log == "" || c.Log == k.Name() || c.Log == fmt.Sprintf("%s+%08x", k.Name(), k.KeyHash())
}

// Choose is the citation that a reply is to be held against the log of a key by: the first that
// is of it, else the first; nil where there is none.
func Choose(all []Citation, k Key) *Citation {
	for i := range all {
		if all[i].Of(k) {
			return &all[i]
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &all[0]
}
