package main

import (
	"os"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/config"
)

func TestZonesOfTheConfiguration(t *testing.T) {
	read := func(text string) config.Config {
		t.Helper()
		c, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := read(`resolve: {zones: [
  {name: 10.in-addr.arpa, kind: stub, servers: [192.0.2.1], hosts: [ns.example], prime: true},
  {name: ., kind: forward, servers: ["192.0.2.2:5353"], first: true, tcp: true}]}`)
	got, err := zones(c)
	if err != nil {
		t.Fatal(err)
	}
	if z := got[0]; z.Forward || !z.Prime || z.Servers[0].Port != 53 || z.Hosts[0].String() != "ns.example." {
		t.Errorf("stub zone %+v", z)
	}
	if z := got[1]; !z.Forward || !z.First || !z.TCP || z.Servers[0].Port != 5353 {
		t.Errorf("forward zone %+v", z)
	}
	if p := private(got); len(p) != 1 || p[0].String() != "10.in-addr.arpa." {
		t.Errorf("resolved even where special-use: %v", p)
	}
	if f := forwarders(c); len(f) != 1 || f[0] != "192.0.2.2:5353" {
		t.Errorf("forwarders %v", f)
	}
	for text, want := range map[string]string{
		"resolve: {zones: [{name: a..b, kind: stub, servers: [192.0.2.1]}]}":                                                         "resolve.zones[0].name",
		"resolve: {zones: [{name: a.test, kind: stub, hosts: [a..b]}]}":                                                              "resolve.zones[0].hosts",
		"resolve: {zones: [{name: a.test, kind: stub, servers: [192.0.2.1]}, {name: A.TEST., kind: forward, servers: [192.0.2.1]}]}": "twice",
		"forward: [192.0.2.1]\nresolve: {zones: [{name: ., kind: forward, servers: [192.0.2.1]}]}":                                   "forwarded already",
		"resolve: {zones: [{name: ., kind: stub, servers: [192.0.2.1], hosts: ['a..']}]}":                                            "resolve.zones[0].hosts",
	} {
		if _, err := zones(read(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

// What serve refuses, config check refuses, with the key.
func TestCheckRefusesWhatServeRefuses(t *testing.T) {
	folder := t.TempDir()
	for text, want := range map[string]string{
		"resolve: {zones: [{name: a..b, kind: stub, servers: [192.0.2.1]}]}":                                 "resolve.zones[0].name",
		"forward: [192.0.2.1]\nresolve: {zones: [{name: ., kind: forward, servers: [192.0.2.1]}]}":           "forwarded already",
		"resolve: {copies: [{zone: a..b, file: /x}]}":                                                        "resolve.copies[0].zone",
		"resolve: {copies: [{zone: ., file: " + folder + "/none}]}":                                          "resolve.copies[0]",
		"resolve: {copies: [{zone: ., file: " + folder + "}]}":                                               "resolve.copies[0]",
		"resolve: {copies: [{zone: a, transfer_from: [192.0.2.1]}, {zone: A., transfer_from: [192.0.2.1]}]}": "resolve.copies[1]: A. stands there twice",
		"resolve: {trust_anchors: ['; none']}":                                                               "resolve.trust_anchors",
		"resolve: {trust_anchors: [' ']}":                                                                    "resolve.trust_anchors",
		"sources: [{id: a, location: 'axfr://k@192.0.2.1/rpz', kinds: [c2]}]":                                `transfer.keys has no key "k"`,
		"sources: [{id: a, location: 'axfr://primary.example/rpz', kinds: [c2]}]":                            "no ADDRESS",
		"sources: [{id: a, location: 'axfr://192.0.2.1/rpz', format: csv, kinds: [c2]}]":                     "what is transferred is rpz",
	} {
		conf, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := convertible(conf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
	conf, err := config.Parse([]byte("resolve: {trust_anchors: [], copies: [{zone: ., transfer_from: [192.0.2.1]}]}\nstate: " + folder))
	if err == nil {
		err = convertible(conf)
	}
	if left, _ := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("%v, made %v", err, left)
	}
}
