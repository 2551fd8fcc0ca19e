package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/sde"
)

// justification is what structured errors say where nothing is configured.
const justification = "known to command malware"

// structuredError is what clients are told that ask for structured errors of filtered names.
// origins are the logs' names; "" where one is not known yet.
func structuredError(conf config.Config, origins ...string) (*sde.Template, error) {
	i := conf.Information
	if i.Database != "" {
		origins = []string{i.Database}
	}
	t, err := sde.NewTemplate(sde.Detail{
		Contact: i.Contact, Justification: cmp.Or(i.Justification, justification), SubError: sde.Malware,
		Organisation: i.Organisation, Language: cmp.Or(i.Language, "en"),
	}, origins...)
	if err != nil {
		return nil, fmt.Errorf("configuration: information.%w", err)
	}
	return t, nil
}

// structure has filtered answers name the log's entries.
func (n *node) structure(origins ...string) error {
	t, err := structuredError(n.conf, origins...)
	if err == nil {
		n.reasons.Store(t)
	}
	return err
}

// structuredWords are the lines of a structured error for people.
func structuredWords(d *sde.Detail, transport, lang string) string {
	w := queryWords[lang]
	var b strings.Builder
	add := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "\n  %s%s %s", w[key], strings.Repeat(" ", max(0, 13-width(w[key]))), printable(value))
		}
	}
	cause := sde.SubErrorText(d.SubError)
	if lang == "ja" {
		cause = causes[d.SubError]
	}
	add("cause", cause)
	add("justification", d.Justification)
	add("organisation", d.Organisation)
	add("contact", strings.Join(d.Contact, ", "))
	for _, i := range d.Incidents {
		add("entry", fmt.Sprintf(w["entry-of"], i.ID, i.Database))
	}
	if transport == "UDP" || transport == "TCP" {
		add("beware", fmt.Sprintf(w["forgeable"], transport))
	}
	return b.String()
}

// causes are sub-errors in Japanese.
var causes = map[int]string{
	sde.Malware: "マルウェア", sde.Phishing: "フィッシング", sde.Spam: "迷惑メール", sde.Spyware: "スパイウェア",
	sde.NetworkPolicy: "ネットワーク運用者の方針", sde.OperatorPolicy: "DNS 運用者の方針",
}
