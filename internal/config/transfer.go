package config

import (
	"fmt"
	"net/netip"
)

// Transfer says how the list is given to other resolvers as a response-policy zone.
type Transfer struct {
	Listen  []Socket            `yaml:"listen" json:"listen,omitempty" jsonschema:"description=Addresses (TCP and UDP) where other resolvers transfer the list as a response-policy zone\\, ADDRESS:PORT. Default: none\\, the list is not given to others."`
	Zone    string              `yaml:"zone" json:"zone,omitempty" jsonschema:"description=The policy zone's name. Short ones leave room for long names in it. Default: rpz.shoji."`
	Flavour string              `yaml:"flavour" json:"flavour,omitempty" jsonschema:"enum=sinkhole,enum=nxdomain,description=What the zone makes of a listed name. sinkhole (default): the addresses of the key sinkhole. nxdomain: the name does not exist. Resolvers that have the zone have to transfer it anew after a change."`
	Keys    []TransferKey       `yaml:"keys" json:"keys,omitempty" jsonschema:"description=TSIG keys (RFC 8945) that sign transfers and NOTIFY."`
	Allow   []TransferGrant     `yaml:"allow" json:"allow,omitempty" jsonschema:"description=Who may transfer the zone. Default: loopback addresses\\, without a key."`
	Notify  []TransferSecondary `yaml:"notify" json:"notify,omitempty" jsonschema:"description=Resolvers that are told of each new list (RFC 1996)."`
}

// TransferKey is one TSIG key.
type TransferKey struct {
	Name      string `yaml:"name" json:"name" jsonschema:"required,description=The key's name: the same at both ends."`
	Algorithm string `yaml:"algorithm" json:"algorithm,omitempty" jsonschema:"enum=hmac-sha256,enum=hmac-sha512,description=Default: hmac-sha256."`
	Secret    string `yaml:"secret" json:"secret,omitempty" jsonschema:"description=The secret in base64\\, as tsig-keygen prints it."`
	File      string `yaml:"secret_file" json:"secret_file,omitempty" jsonschema:"description=File with the secret\\, in place of secret."`
}

// TransferGrant admits a prefix.
type TransferGrant struct {
	From netip.Prefix `yaml:"from" json:"from" jsonschema:"required,description=Prefix that may transfer."`
	Key  string       `yaml:"key" json:"key,omitempty" jsonschema:"description=Name of the key that its requests must be signed with. Default: none is needed."`
}

// TransferSecondary is one resolver that is told of new lists.
type TransferSecondary struct {
	To  Address `yaml:"to" json:"to" jsonschema:"required,description=ADDRESS or ADDRESS:PORT (default port 53)."`
	Key string  `yaml:"key" json:"key,omitempty" jsonschema:"description=Name of the key that NOTIFY is signed with. Default: it is not signed."`
}

func defaultTransfer() Transfer {
	return Transfer{Zone: "rpz.shoji", Flavour: "sinkhole", Allow: []TransferGrant{
		{From: netip.MustParsePrefix("127.0.0.0/8")}, {From: netip.MustParsePrefix("::1/128")},
	}}
}

// check refuses what cannot work, naming the key.
func (t *Transfer) check() error {
	known := map[string]bool{"": true}
	for i := range t.Keys {
		k := &t.Keys[i]
		at := fmt.Sprintf("transfer.keys[%d] (%s)", i, k.Name)
		if k.Algorithm == "" {
			k.Algorithm = "hmac-sha256"
		}
		switch {
		case k.Name == "":
			return fmt.Errorf("%s: no name", at)
		case known[k.Name]:
			return fmt.Errorf("%s: the name stands there twice", at)
		case k.Algorithm != "hmac-sha256" && k.Algorithm != "hmac-sha512":
			return fmt.Errorf("%s: algorithm %q is neither hmac-sha256 nor hmac-sha512", at, k.Algorithm)
		case (k.Secret == "") == (k.File == ""):
			return fmt.Errorf("%s: give secret, or secret_file: one of the two", at)
		}
		known[k.Name] = true
	}
	for i, g := range t.Allow {
		if !g.From.IsValid() {
			return fmt.Errorf("transfer.allow[%d]: no prefix in from", i)
		}
		if !known[g.Key] {
			return fmt.Errorf("transfer.allow[%d] (%s): transfer.keys has no key %q", i, g.From, g.Key)
		}
	}
	for i, s := range t.Notify {
		if !s.To.IsValid() {
			return fmt.Errorf("transfer.notify[%d]: no address in to", i)
		}
		if !known[s.Key] {
			return fmt.Errorf("transfer.notify[%d] (%s): transfer.keys has no key %q", i, s.To, s.Key)
		}
	}
	switch {
	case t.Flavour != "sinkhole" && t.Flavour != "nxdomain":
		return fmt.Errorf("transfer.flavour: %q is neither sinkhole nor nxdomain", t.Flavour)
	case t.Zone == "":
		return fmt.Errorf("transfer.zone: no name")
	case len(t.Listen) > 0 && len(t.Allow) == 0:
		return fmt.Errorf("transfer.allow: nobody may transfer the zone; name a prefix, or leave out transfer.listen")
	}
	return nil
}
