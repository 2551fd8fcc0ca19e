package dnssec

import "sync/atomic"

// Limits on the work that a zone's owner or somebody on the path can cause.
const (
	// MaxVerificationsPerRRset bounds the signatures tried for one RRset, whatever the
	// number of RRSIG and DNSKEY records (KeyTrap, CVE-2023-50387).
	MaxVerificationsPerRRset = 8

	// MaxFailures bounds the signatures that do not verify within one request (KeyTrap,
	// CVE-2023-50387).
	MaxFailures = 16

	// MaxVerifications bounds all signature verifications within one request: a chain
	// of 11 aliases, each in a zone of its own that is six cuts deep, with DS, DNSKEY,
	// data and a denial of two records, stays below.
	MaxVerifications = 512

	// MaxCollidingKeys bounds the DNSKEY records of one key tag and algorithm that are
	// tried for one signature. Zones avoid collisions when they make keys (RFC 6840
	// §5.13 allows for some; CVE-2023-50387 builds them).
	MaxCollidingKeys = 4

	// MaxDigests bounds the DS digests computed for one DNSKEY RRset (the DS side of
	// CVE-2023-50387).
	MaxDigests = 16

	// MaxKeys bounds the keys of a zone that are put to use. The root and the TLDs have
	// up to 7, a roll-over of keys and algorithm at once up to 12.
	MaxKeys = 32

	// MaxHashes bounds the NSEC3 hash chains of one request (CVE-2023-50868).
	MaxHashes = 32

	// MaxSynthesisHashes bounds those of one request while it looks for answers in denials
	// that are kept already: what is left is for the validation of what has to be asked.
	MaxSynthesisHashes = 12

	// MaxIterations is the highest NSEC3 iteration count that is computed. Above it a
	// response is insecure (RFC 9276 §3.2; 50 as resolvers agreed on after
	// CVE-2023-50868).
	MaxIterations = 50

	// MostIterations is the highest MaxIterations that may be configured: what resolvers
	// computed between RFC 9276 and CVE-2023-50868.
	MostIterations = 150

	// MaxDenials bounds the NSEC and the NSEC3 records, each, that are looked at in one
	// response. A chain of 11 aliases out of wildcards and a denial need 14.
	MaxDenials = 24

	// MaxAliases bounds the CNAME and DNAME links followed in one response.
	MaxAliases = 11
)

// Work counts what the validation of one request has cost and refuses more than the
// limits allow. The zero value is a fresh budget. One Work belongs to one request with
// everything that the request leads to; it is never reset. It may be used by several
// goroutines.
type Work struct {
	verifications atomic.Int32
	failures      atomic.Int32
	hashes        atomic.Int32
}

// Verifications is the number of signatures verified so far, failed ones included.
func (w *Work) Verifications() int { return int(w.verifications.Load()) }

// Failures is the number of signatures that did not verify.
func (w *Work) Failures() int { return int(w.failures.Load()) }

// Hashes is the number of NSEC3 hash chains computed so far.
func (w *Work) Hashes() int { return int(w.hashes.Load()) }

// Spent reports that a limit of the whole request has been reached. A bogus status says nothing
// about the data then: another request, with a budget of its own, may well find it secure.
func (w *Work) Spent() bool {
	return w.failures.Load() >= MaxFailures || w.verifications.Load() >= MaxVerifications || w.hashes.Load() >= MaxHashes
}

// verify takes one verification from the budget.
func (w *Work) verify() bool {
	return w.failures.Load() < MaxFailures && take(&w.verifications, MaxVerifications)
}

// fail notes that a verification failed.
func (w *Work) fail() { w.failures.Add(1) }

// hash takes one NSEC3 hash chain from the budget if that leaves no more than most taken.
func (w *Work) hash(most int32) bool { return take(&w.hashes, most) }

// take counts one up, unless the limit is reached.
func take(counter *atomic.Int32, limit int32) bool {
	for {
		n := counter.Load()
		if n >= limit {
			return false
		}
		if counter.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
