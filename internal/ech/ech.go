// Package ech makes and reads what a server of TLS tells its clients so that they can encrypt
// their ClientHello, and with it the name that they ask for (Encrypted Client Hello, RFC 9849).
//
// # Format
//
// An ECHConfigList (RFC 9849 §4) is a length of two octets and configurations, each with a
// version and a length, so that unknown versions can be stepped over. One of version 0xfe0d has
// an identifier, an HPKE public key with its KEM and cipher suites (RFC 9180), how long the
// longest name is that a client pads its own to, the public name, which stands readable in the
// outer ClientHello of all, and extensions. It is told in SVCB records (RFC 9848), and to
// clients whose configuration is stale within the handshake.
//
// # Limits
//
// A list has at most 65535 octets by its format, and what is read is no longer than that. Of
// what HPKE knows, DHKEM(X25519, HKDF-SHA256) is made, with HKDF-SHA256 and AES-128-GCM or
// ChaCha20-Poly1305.
//
// # Known faults
//
// Whether a foreign KEM's key is a point of its curve is seen by who encrypts to it, not here.
package ech

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// Version is that of the configurations of RFC 9849.
	Version = 0xfe0d

	kemX25519        = 0x0020 // RFC 9180 §7.1
	kdfSHA256        = 0x0001 // §7.2
	aeadAES128GCM    = 0x0001 // §7.3
	aeadChaCha20     = 0x0003
	mandatory        = 1 << 15 // an extension that who does not know it must not ignore (RFC 9849 §4)
	maxPublicName    = 255
	headerLen        = 4 // version and length
	maxList          = 0xffff
	minConfig        = 1 + 2 + 2 + 1 + 2 + 4 + 1 + 1 + 1 + 2 // each field at its shortest
	maxLabel         = 63
	maxTextualConfig = (maxList + 2 + 2) / 3 * 4
)

// Suite is how a ClientHello is encrypted: the code points of HPKE (RFC 9180 §7).
type Suite struct{ KDF, AEAD uint16 }

// Config is one configuration.
type Config struct {
	ID          uint8 // which of a server's keys it is; random, so that it tells nothing
	KEM         uint16
	PublicKey   []byte
	Suites      []Suite
	LongestName uint8  // octets of the longest name that is asked for
	PublicName  string // what the outer ClientHello asks for
	Mandatory   bool   // it has an extension that must not be ignored, and none is known here

	raw []byte
}

// New is a configuration for a key of X25519. longest is the length of the longest name that
// clients ask for: they pad shorter ones to it.
func New(id uint8, key *ecdh.PublicKey, publicName string, longest int) (Config, error) {
	if key.Curve() != ecdh.X25519() {
		return Config{}, errors.New("ech: the key is not of X25519")
	}
	if err := CheckName(publicName); err != nil {
		return Config{}, err
	}
	c := Config{
		ID: id, KEM: kemX25519, PublicKey: key.Bytes(), LongestName: uint8(min(max(longest, 0), 255)), PublicName: publicName,
		Suites: []Suite{{kdfSHA256, aeadAES128GCM}, {kdfSHA256, aeadChaCha20}},
	}
	c.raw = c.append(nil)
	return c, nil
}

// CheckName holds that a name can stand in an outer ClientHello: that of a host, of two
// labels or more, which nobody could take for an IPv4 address (RFC 9849 §6.1.7).
func CheckName(name string) error {
	labels := strings.Split(name, ".")
	last := labels[len(labels)-1]
	switch {
	case len(name) > maxPublicName:
		return fmt.Errorf("%q is longer than %d octets", name, maxPublicName)
	case last == "":
		return fmt.Errorf("%q ends with a dot, or is empty: in TLS, names are written without", name)
	case strings.ContainsFunc(name, notASCII):
		return fmt.Errorf("%q is not written in ASCII: in TLS, names are written like xn--zckzah.example", name)
	case len(labels) < 2:
		return fmt.Errorf("%q has one label: many clients take no such public name", name)
	case strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x"):
		return fmt.Errorf("%q ends like an IPv4 address", name)
	}
	for _, l := range labels {
		if len(l) == 0 || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, notOfHost) {
			return fmt.Errorf("%q is no name of a host", name)
		}
	}
	return nil
}

func notASCII(r rune) bool { return r >= 0x80 }

func notOfHost(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-')
}

// append writes the configuration, with its version and length.
func (c *Config) append(out []byte) []byte {
	start := len(out)
	out = binary.BigEndian.AppendUint16(out, Version)
	out = append(out, 0, 0, c.ID)
	out = binary.BigEndian.AppendUint16(out, c.KEM)
	out = binary.BigEndian.AppendUint16(out, uint16(len(c.PublicKey)))
	out = append(out, c.PublicKey...)
	out = binary.BigEndian.AppendUint16(out, uint16(4*len(c.Suites)))
	for _, s := range c.Suites {
		out = binary.BigEndian.AppendUint16(out, s.KDF)
		out = binary.BigEndian.AppendUint16(out, s.AEAD)
	}
	out = append(out, c.LongestName, byte(len(c.PublicName)))
	out = append(append(out, c.PublicName...), 0, 0) // no extensions
	binary.BigEndian.PutUint16(out[start+2:], uint16(len(out)-start-headerLen))
	return out
}

// Bytes is the configuration as it was read or is told, octet for octet: clients and server
// bind their keys to it.
func (c *Config) Bytes() []byte { return slices.Clone(c.raw) }

// List writes a list of configurations, each as Bytes has it.
func List(configs ...[]byte) []byte {
	out := []byte{0, 0}
	for _, c := range configs {
		out = append(out, c...)
	}
	binary.BigEndian.PutUint16(out, uint16(len(out)-2))
	return out
}

// Parse reads an ECHConfigList. Configurations of other versions are left out; a list of
// such alone is empty. An error says what is wrong with the list; then nothing of it is to be
// used (RFC 9849 §4).
func Parse(list []byte) ([]Config, error) {
	r := reader{b: list}
	all := r.vector(2)
	switch {
	case r.bad || len(r.b) > 0:
		return nil, fmt.Errorf("ECH configuration list: its length does not fit the %d octets that it has", len(list))
	case len(all) < headerLen:
		return nil, errors.New("ECH configuration list: it is empty")
	}
	var out []Config
	for r = (reader{b: all}); len(r.b) > 0; {
		raw := r.b
		version, body := r.uint(2), r.vector(2)
		if r.bad {
			return nil, fmt.Errorf("ECH configuration list: the configuration at octet %d is cut short", 2+len(all)-len(raw))
		}
		if version != Version {
			continue
		}
		c, err := parse(body)
		if err != nil {
			return nil, fmt.Errorf("ECH configuration list: the configuration at octet %d: %w", 2+len(all)-len(raw), err)
		}
		c.raw = slices.Clone(raw[:headerLen+len(body)])
		out = append(out, c)
	}
	return out, nil
}

// parse reads one configuration behind its length.
func parse(body []byte) (c Config, err error) {
	if len(body) < minConfig {
		return c, fmt.Errorf("%d octets are too few", len(body))
	}
	r := reader{b: body}
	c.ID, c.KEM = uint8(r.uint(1)), r.uint(2)
	c.PublicKey = slices.Clone(r.vector(2))
	suites := reader{b: r.vector(2)}
	c.LongestName = uint8(r.uint(1))
	c.PublicName = string(r.vector(1))
	extensions := reader{b: r.vector(2)}
	if r.bad || len(r.b) > 0 {
		return c, errors.New("its fields do not fit its length")
	}
	for len(suites.b) > 0 {
		c.Suites = append(c.Suites, Suite{suites.uint(2), suites.uint(2)})
	}
	var seen []uint16
	for len(extensions.b) > 0 {
		kind := extensions.uint(2)
		extensions.vector(2)
		if slices.Contains(seen, kind) {
			return c, fmt.Errorf("it has the extension %#04x twice", kind)
		}
		if len(seen) == maxExtensions {
			return c, fmt.Errorf("it has more than %d extensions", maxExtensions)
		}
		seen = append(seen, kind)
		c.Mandatory = c.Mandatory || kind&mandatory != 0
	}
	switch {
	case suites.bad || len(c.Suites) == 0:
		return c, errors.New("its cipher suites are none, or cut short")
	case extensions.bad:
		return c, errors.New("its extensions are cut short")
	case len(c.PublicKey) == 0:
		return c, errors.New("it has no public key")
	}
	return c, nil
}

// maxExtensions bounds the extensions that are compared with each other; none is defined
// (RFC 9849 §4.2).
const maxExtensions = 64

// Usable holds that a client can use the configuration: its KEM and one of its suites are
// known, and it asks for nothing that is not.
func (c *Config) Usable() error {
	switch {
	case c.Mandatory:
		return errors.New("it has a mandatory extension, and none is known here")
	case c.KEM != kemX25519 || len(c.PublicKey) != 32:
		return fmt.Errorf("its KEM is %#04x, not X25519", c.KEM)
	case !slices.ContainsFunc(c.Suites, Suite.known):
		return errors.New("none of its cipher suites is known here")
	}
	return CheckName(c.PublicName)
}

func (s Suite) known() bool {
	return s.KDF == kdfSHA256 && (s.AEAD == aeadAES128GCM || s.AEAD == aeadChaCha20)
}

// Usable is the list with at least one configuration that a client can use.
func Usable(list []byte) ([]Config, error) {
	all, err := Parse(list)
	if err != nil {
		return nil, err
	}
	why := errors.New("none is of a version that is known here")
	for i := range all {
		if why = all[i].Usable(); why == nil {
			return all, nil
		}
	}
	return nil, fmt.Errorf("ECH configuration list: no configuration can be used: %w", why)
}

// ParseText reads a list in base64, as zone files write it (RFC 9848 §3), with a
// configuration that a client can use.
func ParseText(text string) ([]byte, error) {
	if len(text) > maxTextualConfig {
		return nil, fmt.Errorf("an ECH configuration list of %d characters is longer than any", len(text))
	}
	list, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("an ECH configuration list is written in base64, as in the ech parameter of an SVCB record: %w", err)
	}
	if _, err := Usable(list); err != nil {
		return nil, err
	}
	return list, nil
}

// Text is a list in base64.
func Text(list []byte) string { return base64.StdEncoding.EncodeToString(list) }

// reader takes octets from the front; bad tells that there were too few.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// uint reads a number of n octets, 1 or 2.
func (r *reader) uint(n int) (v uint16) {
	for _, b := range r.take(n) {
		v = v<<8 | uint16(b)
	}
	return v
}

// vector reads what has its length before it, in n octets.
func (r *reader) vector(n int) []byte { return r.take(int(r.uint(n))) }
