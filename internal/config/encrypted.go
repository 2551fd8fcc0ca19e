package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Encrypted says where and how queries are taken over TLS. Both views are behind every
// address.
type Encrypted struct {
	DoT         []Socket  `yaml:"dot" json:"dot,omitempty" jsonschema:"description=Addresses for DNS over TLS (RFC 7858)\\, ADDRESS:PORT; its port is 853. Default: none."`
	DoH         []Socket  `yaml:"doh" json:"doh,omitempty" jsonschema:"description=Addresses for DNS over HTTPS (RFC 8484)\\, ADDRESS:PORT; its port is 443. HTTP/2 is taken over TCP\\, HTTP/3 over UDP. Default: none."`
	DoQ         []Socket  `yaml:"doq" json:"doq,omitempty" jsonschema:"description=Addresses for DNS over QUIC (RFC 9250)\\, ADDRESS:PORT; its port is 853. Default: none."`
	Certificate string    `yaml:"certificate" json:"certificate,omitempty" jsonschema:"description=PEM file with the certificate chain\\, leaf first. It is read again when it changes. Default: a self-signed one in the state folder\\, which clients have to be told the pin of."`
	Key         string    `yaml:"key" json:"key,omitempty" jsonschema:"description=PEM file with the certificate's private key."`
	ACME        ACME      `yaml:"acme" json:"acme" jsonschema:"description=An authority that issues and renews the certificate."`
	Filtered    Face      `yaml:"filtered" json:"filtered" jsonschema:"description=How clients ask for the filtered view. Who asks for neither gets it too."`
	Unfiltered  Face      `yaml:"unfiltered" json:"unfiltered" jsonschema:"description=How clients ask for the unfiltered twin."`
	ECH         ECH       `yaml:"ech" json:"ech" jsonschema:"description=Encrypted Client Hello (RFC 9849)\\, which hides on the way what name a client asks for\\, and with it its view. Clients learn of it by DDR and by records of the views' names."`
	Oblivious   Oblivious `yaml:"oblivious" json:"oblivious" jsonschema:"description=Oblivious DNS over HTTPS (RFC 9230): a proxy knows who asks and a target what is asked\\, and neither both."`
	Connections int       `yaml:"connections" json:"connections,omitempty" jsonschema:"description=Connections that may be open at once; one client (an IPv4 address\\, an IPv6 /56) may hold a quarter of them. Default: 8192.,minimum=1,maximum=1000000"`
}

// Face is how an encrypted address is asked for one view.
type Face struct {
	Name string `yaml:"name" json:"name,omitempty" jsonschema:"description=The server name that asks for the view over DNS over TLS and QUIC. The certificate has to cover it. The names of the two views should be of one length."`
	Path string `yaml:"path" json:"path,omitempty" jsonschema:"description=The path that asks for the view over DNS over HTTPS. Both have one length\\, also in HTTP's Huffman code\\, so that the choice does not show in the length of a request. Default: /dns-query for the filtered view\\, /dns-fully for the unfiltered one."`
}

// ECH is Encrypted Client Hello.
type ECH struct {
	Enabled    *bool    `yaml:"enabled" json:"enabled,omitempty" jsonschema:"description=Default: true where there is a public name."`
	PublicName string   `yaml:"public_name" json:"public_name,omitempty" jsonschema:"description=The name that stands readable in the first message of every client\\, whatever it asks for. The certificate has to cover it. Default: the name of the filtered view\\, so that who hides a choice looks like who made none."`
	Rotate     Duration `yaml:"rotate" json:"rotate,omitempty" jsonschema:"description=How old a key becomes before there is a new one. At least 1h\\, which is what records are kept for; 0 makes none\\, for machines that are given the keys of another one in tls/ech of their state folders. Default: 24h."`
	Old        int      `yaml:"old_keys" json:"old_keys,omitempty" jsonschema:"description=How many keys before the newest are taken: clients with older configurations pay a round trip. Each costs some 80 µs of CPU for a client that fits none. Default: 3.,minimum=1,maximum=7"`
}

// The bounds of ECH: records that tell of a key may be kept for an hour (the TTL in package discovery), and a
// handshake tries every key.
const (
	minRotate  = Duration(time.Hour)
	maxECHOld  = 7
	echRotate  = Duration(24 * time.Hour)
	echOldKeys = 3
)

// Public is the public name; "" where there is no Encrypted Client Hello.
func (e *Encrypted) Public() string {
	name := cmp.Or(e.ECH.PublicName, e.Filtered.Name)
	if e.ECH.Enabled != nil && !*e.ECH.Enabled || len(e.Sockets()) == 0 {
		return ""
	}
	return strings.ToLower(name)
}

func (e *Encrypted) checkECH() error {
	switch h := e.ECH; {
	case h.Enabled != nil && *h.Enabled && h.PublicName == "" && e.Filtered.Name == "":
		return errors.New("encrypted.ech: no public name: give one with public_name, or the filtered view a name")
	case h.Rotate != 0 && h.Rotate < minRotate:
		return fmt.Errorf("encrypted.ech.rotate: %s is less than %s: clients keep what they are told for as long", time.Duration(h.Rotate), time.Duration(minRotate))
	case h.Old < 1 || h.Old > maxECHOld:
		return fmt.Errorf("encrypted.ech.old_keys: %d is not between 1 and %d", h.Old, maxECHOld)
	}
	return nil
}

// defaultEncrypted is off: it has no addresses.
func defaultEncrypted() Encrypted {
	return Encrypted{ECH: ECH{Rotate: echRotate, Old: echOldKeys}, Connections: 8192, Filtered: Face{Path: "/dns-query"}, Unfiltered: Face{Path: "/dns-fully"}, Oblivious: Oblivious{Path: "/proxy"}}
}

// Sockets are all its addresses.
func (e *Encrypted) Sockets() []Socket { return slices.Concat(e.DoT, e.DoH, e.DoQ) }

func (e *Encrypted) check(l *Listen) error {
	if (e.Certificate == "") != (e.Key == "") {
		return errors.New("encrypted: certificate and key go together: name both files, or none for a self-signed certificate")
	}
	if e.Filtered.Path == "" || e.Unfiltered.Path == "" {
		return errors.New("encrypted: a view has no path: leave the key out for the default")
	}
	if e.Connections < 1 || e.Connections > 1_000_000 {
		return fmt.Errorf("encrypted.connections: %d is not between 1 and 1000000", e.Connections)
	}
	if err := e.Oblivious.check(e); err != nil {
		return err
	}
	if e.Filtered.Name != "" && strings.EqualFold(e.Filtered.Name, e.Unfiltered.Name) {
		return fmt.Errorf("encrypted: both views have the name %s: a view is known by its name", e.Filtered.Name)
	}
	for _, name := range []string{e.Filtered.Name, e.Unfiltered.Name} {
		if strings.HasSuffix(name, ".") {
			return fmt.Errorf("encrypted: the name %s ends with a dot: write it without, as clients send it (RFC 6066 §3)", name)
		}
	}
	if err := cmp.Or(e.checkECH(), e.checkACME()); err != nil {
		return err
	}
	// TCP and UDP are apart: DoT and DoQ may share a port.
	for _, own := range [][]Socket{slices.Concat(e.DoT, e.DoH, e.ACME.HTTP), slices.Concat(e.DoQ, e.DoH)} {
		all := slices.Concat(l.Filtered, l.Unfiltered, own)
		for i, a := range own {
			if a.Addr().Is4In6() {
				return fmt.Errorf("encrypted: %s is an IPv4 address in IPv6 form: write %s", a, a.Addr().Unmap())
			}
			for _, b := range all[:len(all)-len(own)+i] {
				if overlap(a, b) {
					return fmt.Errorf("encrypted: %s and %s cannot both be had: one port of one address has one place", b, a)
				}
			}
		}
	}
	return nil
}
