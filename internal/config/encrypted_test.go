package config

import (
	"strings"
	"testing"
)

func TestEncryptedIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		`{certificate: a.pem}`:                                                            "go together",
		`{dot: ["127.0.0.1:5300"]}`:                                                       "cannot both be had",
		`{dot: ["127.0.0.1:1"], doh: ["0.0.0.0:1"]}`:                                      "cannot both be had",
		`{doq: ["127.0.0.1:5301"]}`:                                                       "cannot both be had",
		`{dot: ["[::ffff:192.0.2.1]:853"]}`:                                               "write 192.0.2.1",
		`{filtered: {name: a.example}, unfiltered: {name: A.example}}`:                    "known by its name",
		`{unfiltered: {name: b.example.}}`:                                                "write it without",
		`{connections: 0}`:                                                                "between 1 and",
		`{filtered: {path: ""}}`:                                                          "no path",
		`{acme: {agree: true}}`:                                                           "no directory",
		`{acme: {directory: "http://ca.example/"}}`:                                       "no https://",
		`{acme: {directory: "https://ca.example/"}}`:                                      "set agree: true",
		`{acme: {directory: "https://ca.example/", agree: true}}`:                         "no encrypted address",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true}}`: "no name",
		`{doq: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a.example]}}`:                             "no way to prove",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a.example], key_id: a}}`:                  "go together",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a.example], email: a}}`:                   "no address",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a.example], http: ["127.0.0.1:853"]}}`:    "cannot both be had",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a.example], key_id: a, mac_key: "a b"}}`:  "no base64url",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: ["a b"]}}`:                                 "no host name",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: ["*.a.example"]}}`:                         "no host name",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a.-b.example]}}`:                          "no host name",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a.example], key_id: a, mac_key: "YWI="}}`: "padding",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [a]}}`:                                     "no host name",
		`{dot: ["127.0.0.1:853"], acme: {directory: "https://ca.example/", agree: true, names: [192.0.2.1]}}`:                             "no host name",
		`{dot: ["127.0.0.1:853"], certificate: a, key: b, acme: {directory: "https://ca.example/", agree: true, names: [a.example]}}`:     "two ways",
		`{ech: {enabled: true}}`: "no public name",
		`{ech: {rotate: 30m}}`:   "less than 1h",
		`{ech: {old_keys: 8}}`:   "between 1 and 7",
	} {
		if _, err := Parse([]byte("encrypted: " + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	// TCP and UDP are apart.
	c, err := Parse([]byte(`encrypted: {dot: ["127.0.0.1:853"], doq: ["127.0.0.1:853"], doh: ["127.0.0.1:443"], filtered: {name: a.example}}`))
	if err != nil || c.Encrypted.Filtered.Path != "/dns-query" || c.Encrypted.Unfiltered.Path != "/dns-fully" || len(c.Encrypted.Sockets()) != 3 {
		t.Errorf("%+v, %v", c.Encrypted, err)
	}
}

// TestPublicName: Encrypted Client Hello is on where there is a name to show.
func TestPublicName(t *testing.T) {
	for text, want := range map[string]string{
		`{dot: ["127.0.0.1:853"], filtered: {name: A.example}}`:                                  "a.example",
		`{dot: ["127.0.0.1:853"], filtered: {name: a.example}, ech: {enabled: false}}`:           "",
		`{dot: ["127.0.0.1:853"], filtered: {name: a.example}, ech: {public_name: dns.example}}`: "dns.example",
		`{dot: ["127.0.0.1:853"], unfiltered: {name: a.example}}`:                                "",
		`{filtered: {name: a.example}}`:                                                          "",
	} {
		c, err := Parse([]byte("encrypted: " + text))
		if err != nil || c.Encrypted.Public() != want {
			t.Errorf("%s: %q, %v, want %q", text, c.Encrypted.Public(), err, want)
		}
	}
}
