package config

import (
	"strings"
	"testing"
)

// What cannot work is refused where it is read, with the key and what to do, and no value
// is taken for another one.
func TestValuesThatCannotWork(t *testing.T) {
	for text, want := range map[string][]string{
		"cache:\n  max_ttl: 5\n":                                                      {"line 2", "cache.max_ttl", "write it like"},
		"resolve: {validation_time: tomorrow}":                                        {"line 1", "resolve.validation_time", "write it like"},
		"resolve: {trust_anchors: ['']}":                                              {"resolve.trust_anchors[0]", "without a value"}, // not: no validation
		"resolve: {trust_anchors: [null]}":                                            {"resolve.trust_anchors[0]", "without a value"},
		"resolve: {root_hints: [{name: a.root, addr: ''}]}":                           {"resolve.root_hints[0].addr", "no address"},
		"resolve: {root_hints: [{name: a.root}]}":                                     {"resolve.root_hints[0]", "no address"},
		"resolve: {zones: [{name: a, kind: stub, servers: [null]}]}":                  {"resolve.zones[0].servers[0]", "without a value"},
		"resolve:\n zones:\n - {name: a, kind: stub, servers: [b.c]}\n":               {"line 3", "resolve.zones[0].servers[0]", "no address"},
		"resolve: {copies: [{file: /a}]}":                                             {"resolve.copies[0]", "no zone"},
		"forward: [null]":                                                             {"forward[0]", "without a value"},
		"listen: {allow: ['']}":                                                       {"listen.allow[0]", "without a value"},
		"listen: {allow: [10.0.0.1]}":                                                 {"listen.allow[0]", "write it like"},
		"listen: {allow: ['::ffff:10.0.0.0/104']}":                                    {"listen.allow[0]", "prefix of IPv4"},
		"listen: {filtered: ['127.0.0.1:53', '127.0.0.1:53']}":                        {"listen", "cannot both be had"},
		"listen: {filtered: ['0.0.0.0:53'], unfiltered: ['127.0.0.1:53']}":            {"listen", "cannot both be had"},
		"listen: {filtered: ['127.0.0.1:53'], unfiltered: ['[::ffff:127.0.0.1]:53']}": {"listen", "write 127.0.0.1"},
		"dns64: {prefix: '64:ff9b::'}":                                                {"dns64.prefix", "write it like"},
		"dns64: {prefix: '64:ff9b::/96', exclude: ['']}":                              {"dns64.exclude[0]", "without a value"},
		"rebinding: {prefixes: [null]}":                                               {"rebinding.prefixes[0]", "without a value"},
		"sinkhole: {ipv6: '::ffff:192.0.2.1'}":                                        {"sinkhole.ipv6", "AAAA"},
		"sinkhole: {ipv6: 'fe80::1%eth0'}":                                            {"sinkhole.ipv6", "AAAA"},
		"state: ''":                                                                   {"state", "no folder"},
		"names: !!binary AAAA":                                                        {"no YAML that can be read"},
	} {
		_, err := Parse([]byte(text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %v, want one with %q", text, err, w)
			}
		}
	}
	for _, text := range []string{
		"listen: {filtered: ['127.0.0.1:0', '127.0.0.1:0']}",
		"listen: {filtered: ['[::]:53'], unfiltered: ['127.0.0.1:53']}",
		"sinkhole: {ipv4: , ipv6: null}", "resolve: {trust_anchors: []}", "cache: {size: 2097152}",
	} {
		if c, err := Parse([]byte(text)); err != nil || !c.Sinkhole.IPv4.IsValid() {
			t.Errorf("%s: %v", text, err)
		}
	}
}
