package config

import (
	"testing"
	"time"
)

func TestSourceKeys(t *testing.T) {
	c, err := Parse([]byte(`
policy: /etc/shoji/policy.yaml
evidence: postgres://shoji@db.example/evidence
sources:
  - id: feed-a
    title: Feed A
    location: https://feed-a.example/list.csv
    format: csv
    kinds: [c2, malware-host]
    group: family
    license: CC0-1.0
    scope: exact
    family: bot
    interval: 1h
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Policy != "/etc/shoji/policy.yaml" || c.Evidence != "postgres://shoji@db.example/evidence" || len(c.Sources) != 1 {
		t.Fatalf("%q %q %+v", c.Policy, c.Evidence, c.Sources)
	}
	s := c.Sources[0]
	if s.ID != "feed-a" || s.Title != "Feed A" || s.Location != "https://feed-a.example/list.csv" || s.Format != "csv" || len(s.Kinds) != 2 ||
		s.Group != "family" || s.License != "CC0-1.0" || s.Scope != "exact" || s.Family != "bot" || time.Duration(s.Interval) != time.Hour {
		t.Errorf("%+v", s)
	}
}
