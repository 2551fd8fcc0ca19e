package config

import (
	"errors"
	"fmt"
	"strings"
)

// Oblivious is oblivious DNS over HTTPS (RFC 9230), as a target and as a proxy.
type Oblivious struct {
	Target bool     `yaml:"target" json:"target,omitempty" jsonschema:"description=Take oblivious queries at the paths of DNS over HTTPS\\, from whoever is in listen.allow: proxies ask for their clients. Keys are made\\, replaced each day and kept in the state folder. Default: false."`
	Proxy  []string `yaml:"proxy_for" json:"proxy_for,omitempty" jsonschema:"description=Carry oblivious queries of others to these targets\\, and to nobody else. Each is https://ADDRESS/PATH#NAME or h3://ADDRESS/PATH#NAME\\, where NAME is what clients call it and its certificate must have (default: the address). Default: none."`
	Path   string   `yaml:"proxy_path" json:"proxy_path,omitempty" jsonschema:"description=The path at which queries to be carried are taken; clients add ?targethost=NAME&targetpath=PATH. Default: /proxy."`
	CA     string   `yaml:"proxy_ca" json:"proxy_ca,omitempty" jsonschema:"description=File with certificates (PEM) of who may sign those of the targets. Default: whom the system trusts."`
}

// maxTargets is how many targets a proxy is for: each may have a connection.
const maxTargets = 64

func (o *Oblivious) check(e *Encrypted) error {
	if (o.Target || len(o.Proxy) > 0) && len(e.DoH) == 0 {
		return errors.New("encrypted.oblivious: queries come over HTTPS, and there is no address for it: add one in encrypted.doh")
	}
	if n := len(o.Proxy); n > maxTargets {
		return fmt.Errorf("encrypted.oblivious.proxy_for: %d are more than %d", n, maxTargets)
	}
	if len(o.Proxy) == 0 && o.CA != "" {
		return errors.New("encrypted.oblivious.proxy_ca: there is nothing in proxy_for that it could be for")
	}
	if !strings.HasPrefix(o.Path, "/") {
		return fmt.Errorf("encrypted.oblivious.proxy_path: %q does not begin with /", o.Path)
	}
	return nil
}
