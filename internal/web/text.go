package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// The languages.
const (
	English  = "en"
	Japanese = "ja"
)

// Text is a text for the public in both languages.
type Text struct{ EN, JA string }

// In is the text in a language; any but Japanese is English.
func (t Text) In(lang string) string {
	if lang == Japanese {
		return t.JA
	}
	return t.EN
}

// Translated is a text in both languages, such as a Text or one of a policy's.
type Translated interface{ In(lang string) string }

// maxAccept is how much of Accept-Language is looked at: browsers send under 100 octets.
const maxAccept = 256

// languages is what [negotiate] chooses from; the first is for who asks for neither.
func languages() language.Matcher {
	return language.NewMatcher([]language.Tag{language.English, language.Japanese})
}

// negotiate is the language that a reader wants (RFC 9110 section 12.5.4).
func negotiate(m language.Matcher, accept string) string {
	tags, _, err := language.ParseAcceptLanguage(accept[:min(len(accept), maxAccept)])
	if err != nil || len(tags) == 0 {
		return English
	}
	if _, index, _ := m.Match(tags...); index == 1 {
		return Japanese
	}
	return English
}

// splitLanguage takes a language off the front of a path: "" where there is none.
func splitLanguage(path string) (lang, rest string) {
	for _, l := range []string{English, Japanese} {
		if rest, ok := strings.CutPrefix(path, "/"+l); ok && (rest == "" || rest[0] == '/') {
			if rest == "" {
				rest = "/"
			}
			return l, rest
		}
	}
	return "", path
}

// Number writes n with marks between thousands.
func Number[N int | int64 | uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Day writes a day in a language, in UTC.
func Day(t time.Time, lang string) string {
	t = t.UTC()
	if lang == Japanese {
		return fmt.Sprintf("%d年%d月%d日", t.Year(), t.Month(), t.Day())
	}
	return t.Format("2 January 2006")
}

// Moment writes a day and a time of it, to the minute.
func Moment(t time.Time, lang string) string {
	return Day(t, lang) + " " + t.UTC().Format("15:04") + " UTC"
}
