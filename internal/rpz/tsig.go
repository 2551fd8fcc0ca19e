package rpz

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// minSecret is the shortest secret of a key, in octets: as long as half of what the shortest
// of the hashes yields. RFC 8945 §10 wants one as long as the whole; 16 octets is what
// older tools make.
const minSecret = 16

// fudge is how far clocks may be apart, in seconds (RFC 8945 §10).
const fudge = 300

// Key is a TSIG key (RFC 8945).
type Key struct {
	name      string // in lower case, with its dot
	algorithm string // as miekg/dns names it
	secret    []byte
}

// NewKey makes a key of its name, its algorithm (hmac-sha256 or hmac-sha512) and its
// secret in base64.
func NewKey(name, algorithm, secret string) (*Key, error) {
	n, err := dns.ParseName(name)
	if err != nil || n == dns.Root {
		return nil, fmt.Errorf("the key's name %q is no domain name", name)
	}
	k := &Key{name: mdns.CanonicalName(n.String())}
	switch strings.ToLower(strings.TrimSuffix(algorithm, ".")) {
	case "hmac-sha256":
		k.algorithm = mdns.HmacSHA256
	case "hmac-sha512":
		k.algorithm = mdns.HmacSHA512
	default:
		return nil, fmt.Errorf("key %s: algorithm %q is neither hmac-sha256 nor hmac-sha512", name, algorithm)
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(secret))
	if err != nil {
		return nil, fmt.Errorf("key %s: the secret is not base64; tsig-keygen makes one", name) // and is not shown
	}
	if len(b) < minSecret {
		return nil, fmt.Errorf("key %s: a secret of %d octets; the shortest is %d", name, len(b), minSecret)
	}
	k.secret = b
	return k, nil
}

// Name is the key's name, in lower case with its dot; "" of no key.
func (k *Key) Name() string {
	if k == nil {
		return ""
	}
	return k.name
}

// errUnsigned says that a message which must be signed is not.
var errUnsigned = errors.New("not signed with the key")

// errSignaturePlace says that a TSIG record is not where it must be (RFC 8945 §5.1).
var errSignaturePlace = errors.New("a TSIG record that is not the last, or not the only one")

// errSignatureForm says that a TSIG record is not one as RFC 8945 §4.2 has it.
var errSignatureForm = errors.New("a TSIG record without an algorithm, or of another class than ANY")

// signature is the TSIG record of a message, nil if it has none.
func signature(m *mdns.Msg) (*mdns.TSIG, error) {
	for i, rr := range m.Extra {
		if rr.Header().Rrtype == mdns.TypeTSIG && i != len(m.Extra)-1 {
			return nil, errSignaturePlace
		}
	}
	for _, section := range [][]mdns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			if rr.Header().Rrtype == mdns.TypeTSIG {
				return nil, errSignaturePlace
			}
		}
	}
	t := m.IsTsig()
	if t != nil && (t.Algorithm == "" || t.Hdr.Class != mdns.ClassANY) {
		return nil, errSignatureForm
	}
	return t, nil
}

// maxUnsigned is how many messages of a transfer may follow a signed one without a
// signature of their own (RFC 8945 §5.3.1).
const maxUnsigned = 99

// session signs the messages of one exchange, each over the one before, or verifies them.
type session struct {
	key     *Key   // nil: unsigned
	mac     string // of the message before, in hexadecimal
	timers  bool   // the next message is not the first of its direction
	fault   uint16 // the TSIG error to tell; 0: none
	asked   *mdns.TSIG
	pending []byte // messages that came unsigned, which the next signature is over too
	behind  int    // how many they are
}

// digest is the session's hash over what miekg/dns puts together for one message: that of
// the message before, the message, and the signature's variables. Messages that came unsigned stand
// before the message.
type digest struct{ s *session }

// Generate implements mdns.TsigProvider.
func (d digest) Generate(b []byte, _ *mdns.TSIG) ([]byte, error) {
	h := hmac.New(sha256.New, d.s.key.secret)
	if d.s.key.algorithm == mdns.HmacSHA512 {
		h = hmac.New(sha512.New, d.s.key.secret)
	}
	before := 0
	if d.s.mac != "" {
		before = 2 + len(d.s.mac)/2
	}
	h.Write(b[:before])
	h.Write(d.s.pending)
	h.Write(b[before:])
	return h.Sum(nil), nil
}

// Verify implements mdns.TsigProvider. A shortened MAC is refused.
func (d digest) Verify(b []byte, t *mdns.TSIG) error {
	want, _ := d.Generate(b, t)
	if got, err := hex.DecodeString(t.MAC); err != nil || !hmac.Equal(got, want) {
		return mdns.ErrSig
	}
	return nil
}

// accept verifies a request against the keys. Where the session has a fault the request
// must be answered by NOTAUTH and nothing else (RFC 8945 §5.2).
func accept(keys map[string]*Key, raw []byte, m *mdns.Msg) (session, error) {
	t, err := signature(m)
	if err != nil || t == nil {
		return session{}, err
	}
	s := session{asked: t}
	k := keys[mdns.CanonicalName(t.Hdr.Name)]
	if k == nil || mdns.CanonicalName(t.Algorithm) != k.algorithm {
		s.fault = mdns.RcodeBadKey
		return s, nil
	}
	switch err := mdns.TsigVerifyWithProvider(bytes.Clone(raw), digest{&session{key: k}}, "", false); {
	case err == nil:
		s.key = k
	case errors.Is(err, mdns.ErrTime):
		s.key, s.fault = k, mdns.RcodeBadTime
	default:
		s.fault = mdns.RcodeBadSig
	}
	s.mac = t.MAC
	return s, nil
}

// pack encodes m, signed where the session has a key.
func (s *session) pack(m *mdns.Msg) ([]byte, error) {
	m.Compress = true
	if s.key == nil && s.fault == 0 {
		return m.Pack()
	}
	t := &mdns.TSIG{
		Hdr:    mdns.RR_Header{Rrtype: mdns.TypeTSIG, Class: mdns.ClassANY},
		Fudge:  fudge,
		OrigId: m.Id, Error: s.fault, TimeSigned: uint64(seconds()),
	}
	if s.key != nil {
		t.Hdr.Name, t.Algorithm = s.key.name, s.key.algorithm
	} else {
		t.Hdr.Name, t.Algorithm = s.asked.Hdr.Name, s.asked.Algorithm
	}
	if s.fault == mdns.RcodeBadTime { // the request's time is repeated, ours told: RFC 8945 §5.2.3
		t.OtherLen, t.OtherData = 6, fmt.Sprintf("%012x", t.TimeSigned)
		t.TimeSigned = s.asked.TimeSigned
	}
	m.Extra = append(m.Extra, t)
	out, mac, err := mdns.TsigGenerateWithProvider(m, digest{s}, s.mac, s.timers)
	s.mac, s.timers = mac, true
	return out, err
}

// verify holds a reply to the request that pack signed. The first message must
// be signed; later ones may come unsigned, and count when settled says so.
func (s *session) verify(raw []byte, m *mdns.Msg) error {
	t, err := signature(m)
	switch {
	case err != nil || s.key == nil:
		return err
	case t == nil && s.timers && s.behind < maxUnsigned:
		s.pending = append(s.pending, raw...)
		s.behind++
		return nil
	case t == nil, mdns.CanonicalName(t.Hdr.Name) != s.key.name, mdns.CanonicalName(t.Algorithm) != s.key.algorithm:
		return errUnsigned
	case t.Error != 0:
		return fmt.Errorf("the server says of the signature: %s", mdns.RcodeToString[int(t.Error)])
	}
	if err := mdns.TsigVerifyWithProvider(bytes.Clone(raw), digest{s}, s.mac, s.timers); err != nil {
		return fmt.Errorf("the reply's signature: %w", err)
	}
	s.mac, s.timers = t.MAC, true
	s.pending, s.behind = s.pending[:0], 0
	return nil
}

// settled says whether a signature covers all that came: that of the last message.
func (s *session) settled() error {
	if s.behind > 0 {
		return errUnsigned
	}
	return nil
}
