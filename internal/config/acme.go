package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// ACME is an authority that issues the certificate (RFC 8555).
type ACME struct {
	Directory string   `yaml:"directory" json:"directory,omitempty" jsonschema:"description=URL of the authority's directory\\, such as https://acme-v02.api.letsencrypt.org/directory. With one\\, the certificate comes from there. It is for all names at once\\, kept in the state folder\\, and renewed when a third of its life is left or the authority says."`
	Agree     bool     `yaml:"agree" json:"agree,omitempty" jsonschema:"description=That you agree to the authority's terms of service. It has to be true."`
	Email     string   `yaml:"email" json:"email,omitempty" jsonschema:"description=Where the authority writes to. Default: nowhere."`
	Names     []string `yaml:"names" json:"names,omitempty" jsonschema:"description=Further names for the certificate\\, beside those of the views and of ech.public_name."`
	CA        string   `yaml:"ca" json:"ca,omitempty" jsonschema:"description=PEM file of who may sign the directory's own certificate\\, for an authority of one's own. Default: whom the system trusts."`
	HTTP      []Socket `yaml:"http" json:"http,omitempty" jsonschema:"description=Addresses where challenges over HTTP (http-01) are answered\\, ADDRESS:PORT; the authority comes to port 80. Default: none. Over TLS (tls-alpn-01) they are answered on the addresses of dot and doh; the authority comes to port 443."`
	KeyID     string   `yaml:"key_id" json:"key_id,omitempty" jsonschema:"description=Name of an account at the authority that this one is bound to (EAB)\\, where it asks for that."`
	MACKey    string   `yaml:"mac_key" json:"mac_key,omitempty" jsonschema:"description=The key of key_id\\, in base64url."`
}

// maxACMENames bounds a certificate's names: as many as Let's Encrypt takes.
const maxACMENames = 100

func (e *Encrypted) checkACME() error {
	a := &e.ACME
	if a.Directory == "" {
		if a.Agree || a.Email != "" || len(a.Names)+len(a.HTTP) > 0 || a.CA != "" || a.KeyID != "" || a.MACKey != "" {
			return errors.New("encrypted.acme: no directory: name the authority's, such as https://acme-v02.api.letsencrypt.org/directory")
		}
		return nil
	}
	u, err := url.Parse(a.Directory)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return fmt.Errorf("encrypted.acme.directory: %q is no https:// URL", a.Directory)
	case !a.Agree:
		return errors.New("encrypted.acme: read the authority's terms of service, and set agree: true if you agree to them")
	case e.Certificate != "":
		return errors.New("encrypted: certificate and acme are two ways to a certificate: leave out one of them")
	case len(e.Sockets()) == 0:
		return errors.New("encrypted.acme: there is no encrypted address to have a certificate for: add one to dot, doh or doq")
	case len(e.CertificateNames()) == 0:
		return errors.New("encrypted.acme: no name to have a certificate for: give the views names, or add some to names")
	case len(e.CertificateNames()) > maxACMENames:
		return fmt.Errorf("encrypted.acme.names: %d are more than %d", len(e.CertificateNames()), maxACMENames)
	case len(e.DoT)+len(e.DoH)+len(a.HTTP) == 0:
		return errors.New("encrypted.acme: no way to prove that the names are ours: add an address of port 443 to doh, or one of port 80 to acme.http")
	case (a.KeyID == "") != (a.MACKey == ""):
		return errors.New("encrypted.acme: key_id and mac_key go together: give both or none")
	case a.MACKey != "" && !isKey(a.MACKey):
		return errors.New("encrypted.acme.mac_key: it is no base64url without padding: leave out what is = at its end")
	case a.Email != "" && (strings.Count(a.Email, "@") != 1 || strings.ContainsAny(a.Email, " ,?")):
		return fmt.Errorf("encrypted.acme.email: %q is no address", a.Email)
	}
	for _, name := range e.CertificateNames() {
		if !hostName(name) || a.CA == "" && !strings.Contains(name, ".") {
			return fmt.Errorf("encrypted.acme: %q is no host name, so that no certificate can be had for it: letters, digits and hyphens, with dots between", name)
		}
	}
	return nil
}

// isKey reports whether text is a key in base64url (RFC 4648 §5) without padding, as RFC 8555 §7.3.4 has it.
func isKey(text string) bool {
	key, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && len(key) > 0
}

// hostName reports whether a name in lower case is one of a host (RFC 1123 §2.1), and no address.
func hostName(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	for l := range strings.SplitSeq(name, ".") {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(name) <= 253
}

// CertificateNames are what the certificate has to cover, in lower case.
func (e *Encrypted) CertificateNames() (out []string) {
	seen := make(map[string]bool)
	for _, name := range append([]string{e.Filtered.Name, e.Unfiltered.Name, e.Public()}, e.ACME.Names...) {
		if name = strings.ToLower(name); name != "" && !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}
