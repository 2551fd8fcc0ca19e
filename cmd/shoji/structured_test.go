package main

import (
	"strings"
	"testing"
)

// TestQueryShowsStructuredErrors asks a resolver whose operator says who he is.
func TestQueryShowsStructuredErrors(t *testing.T) {
	l := startLabWith(t, "information: {contact: ['mailto:desk@isp.example'], organisation: 例のISP, language: ja, justification: マルウェアを操る名前です}\n")
	out, status := shoji(t, "", "query", "c2.evil.test", "--structured", "--server", l.filtered[0])
	for _, want := range []string{"no data of this type", "reason: Blocked (15)\n", "cause         malware", "justification マルウェアを操る名前です", "organisation  例のISP", "contact       mailto:desk@isp.example", " of shoji-log\n", "over UDP anybody"} {
		if status != exitOK || !strings.Contains(out, want) {
			t.Errorf("status %d: no %q in\n%s", status, want, out)
		}
	}
	r := ask(t, l.filtered[0], "c2.evil.test", "--structured", "--tcp")
	if len(r.Answer) != 0 || len(r.Errors) != 1 || r.Errors[0].Structured == nil || r.Errors[0].Structured.SubError != 1 ||
		len(r.Errors[0].Structured.Incidents) != 1 || r.Errors[0].Structured.Incidents[0].Database != "shoji-log" {
		t.Errorf("%+v", r)
	}
	// The entry is the one that who does not ask is told of.
	if plain := ask(t, l.filtered[0], "c2.evil.test"); plain.Errors[0].Code != 4 || plain.Errors[0].Text != "log entry "+r.Errors[0].Structured.Incidents[0].ID {
		t.Errorf("%+v", plain)
	}
	if r := ask(t, l.unfiltered[0], "c2.evil.test", "--structured"); len(r.Errors) != 0 || len(r.Answer) != 1 {
		t.Errorf("unfiltered: %+v", r)
	}
}

// What structured errors cannot say is refused before serve starts.
func TestStructuredErrorsAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"information: {contact: ['https://isp.example/']}":                   "information.contact",
		"information: {language: '?'}":                                       "information.language",
		"information: {justification: \"" + strings.Repeat("x", 700) + "\"}": "shorten",
	} {
		if out := checked(t, text); !strings.Contains(out, want) {
			t.Errorf("%s: %s", text, out)
		}
	}
}
