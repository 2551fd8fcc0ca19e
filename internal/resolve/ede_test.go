package resolve

import (
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// Each way to fail validation, or to be beyond it, has its Extended DNS Error (RFC 8914 §4).
func TestEachFailureHasItsCode(t *testing.T) {
	hour := func(from, to int) (s simnet.Signing) {
		now := time.Now()
		s.Inception, s.Expiration = now.Add(time.Duration(from)*time.Hour), now.Add(time.Duration(to)*time.Hour)
		return s
	}
	for _, tc := range []struct {
		what   string
		leaf   func() simnet.Signing
		typ    dns.Type
		status string
		code   dns.ErrorCode
	}{
		{"nothing is wrong", func() simnet.Signing { return simnet.Signing{} }, dns.TypeA, "secure", 0},
		{"an algorithm nobody knows", func() simnet.Signing { return simnet.Signing{Algorithm: 200} }, dns.TypeA, "insecure", dns.EDEUnsupportedDNSKEYAlgorithm},
		{"RSA/SHA-1", func() simnet.Signing { return simnet.Signing{Algorithm: 5} }, dns.TypeA, "insecure", dns.EDEUnsupportedDNSKEYAlgorithm},
		{"a digest nobody knows", func() simnet.Signing { return simnet.Signing{Digest: 200} }, dns.TypeA, "insecure", dns.EDEUnsupportedDSDigestType},
		{"a signature that does not verify", func() simnet.Signing { return simnet.Signing{Break: simnet.BreakSignatures} }, dns.TypeA, "bogus", dns.EDEDNSSECBogus},
		{"one over the keys", func() simnet.Signing { return simnet.Signing{Break: simnet.BreakKeySignatures} }, dns.TypeA, "bogus", dns.EDEDNSSECBogus},
		{"signed an hour too long ago", func() simnet.Signing { return hour(-3, -1) }, dns.TypeA, "bogus", dns.EDESignatureExpired},
		{"signed an hour too early", func() simnet.Signing { return hour(1, 3) }, dns.TypeA, "bogus", dns.EDESignatureNotYetValid},
		{"signed backwards", func() simnet.Signing { return hour(1, -1) }, dns.TypeA, "bogus", dns.EDESignatureExpiredBeforeValid},
		{"a DS of no key", func() simnet.Signing { return simnet.Signing{Break: simnet.BreakDS} }, dns.TypeA, "bogus", dns.EDEDNSKEYMissing},
		{"no signature", func() simnet.Signing { return simnet.Signing{Break: simnet.OmitSignatures} }, dns.TypeA, "bogus", dns.EDERRSIGsMissing},
		{"no denial", func() simnet.Signing { return simnet.Signing{Break: simnet.BreakDenial} }, dns.TypeTXT, "bogus", dns.EDENSECMissing},
		{"50 iterations", func() simnet.Signing { return simnet.Signing{NSEC3: &simnet.NSEC3{Iterations: 50}} }, dns.TypeTXT, "secure", 0},
		{"51 iterations", func() simnet.Signing { return simnet.Signing{NSEC3: &simnet.NSEC3{Iterations: 51}} }, dns.TypeTXT, "insecure", dns.EDEUnsupportedNSEC3Iterations},
	} {
		t.Run(tc.what, func(t *testing.T) {
			story(t, func(t *testing.T) {
				_, c := signedLab(t, tc.leaf(), honest)
				wantCode(t, New(c).Resolve(t.Context(), dns.MustName("www.bank.test"), tc.typ), tc.status, tc.code)
			})
		})
	}
}

func wantCode(t *testing.T, a *answer.Answer, status string, code dns.ErrorCode) {
	t.Helper()
	if a.Status().String() != status || a.Status().EDE() != code {
		t.Errorf("%s, %s (%s); want %s, %s", a.Status(), a.Status().EDE(), a.Status().Reason(), status, code)
	}
}

// A key without the zone bit signs nothing (RFC 4034 §2.1.1).
func TestKeyWithoutZoneBit(t *testing.T) {
	story(t, func(t *testing.T) {
		k := newKeeping(t, newRootKey(t, mdns.SEP))
		k.config.Memory = newMemory()
		wantCode(t, New(k.config).Resolve(t.Context(), dns.MustName("www"), dns.TypeA), "bogus", dns.EDENoZoneKeyBitSet)
	})
}
