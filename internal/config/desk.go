package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
)

// Desk says where the pages for the public are.
type Desk struct {
	Listen   *[]Socket      `yaml:"listen" json:"listen,omitempty" jsonschema:"description=Addresses (TCP\\, HTTP without TLS) of the pages for the public\\, ADDRESS:PORT. Default: 127.0.0.1:5381. An empty list: none. Before the open Internet belongs a web server with TLS."`
	Address  string         `yaml:"address" json:"address,omitempty" jsonschema:"description=Where readers find the pages\\, such as https://desk.example. They are refused under other names than its\\, localhost and IP addresses. Default: where they are listened for."`
	Operator string         `yaml:"operator" json:"operator,omitempty" jsonschema:"description=Who runs it; shown on every page."`
	Database string         `yaml:"database" json:"database,omitempty" jsonschema:"description=Where cases and staff are kept: the path of an SQLite file\\, or a PostgreSQL database as postgres://USER@HOST/NAME. Default: where evidence is\\, if that is PostgreSQL\\, or desk.db in the state folder."`
	OpenID   OpenID         `yaml:"openid" json:"openid" jsonschema:"description=An OpenID provider whose users may sign in as staff\\, beside passkeys."`
	Proxies  []netip.Prefix `yaml:"proxies" json:"proxies,omitempty" jsonschema:"description=Prefixes of the web servers before it\\, whose X-Forwarded-For is believed when limits are applied. Default: none."`
}

// OpenID is a provider of identities.
type OpenID struct {
	Issuer     string   `yaml:"issuer" json:"issuer,omitempty" jsonschema:"description=The provider\\, such as https://login.example. Default: none."`
	Client     string   `yaml:"client" json:"client,omitempty" jsonschema:"description=The client's identity there. It is sent back to /staff/openid/callback below desk.address."`
	SecretFile string   `yaml:"secret_file" json:"secret_file,omitempty" jsonschema:"description=File with the client's secret. Default: it has none."`
	Allow      []string `yaml:"allow" json:"allow,omitempty" jsonschema:"description=Who is staff: mail addresses that the provider has verified\\, or subjects."`
}

func (o *OpenID) check() error {
	if o.Issuer == "" {
		if o.Client != "" || o.SecretFile != "" || len(o.Allow) > 0 {
			return errors.New("desk.openid.issuer: there is none, and other keys of desk.openid need one")
		}
		return nil
	}
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Scheme != "https" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" || u.Host == "":
		return fmt.Errorf("desk.openid.issuer: %q: write it like https://login.example", o.Issuer)
	case o.Client == "":
		return errors.New("desk.openid.client: there is none; the provider gives it")
	case len(o.Allow) == 0:
		return errors.New("desk.openid.allow: nobody is: name mail addresses or subjects")
	}
	return nil
}

func (d *Desk) check() error {
	if err := d.OpenID.check(); err != nil {
		return err
	}
	if d.Address == "" {
		return nil
	}
	u, err := url.Parse(d.Address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("desk.address: %q: write it like https://desk.example, without a path", d.Address)
	}
	return nil
}
