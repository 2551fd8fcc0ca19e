package resolve

import "sync/atomic"

// Stats is what a Resolver has done since it was made, and what it holds in mind.
type Stats struct {
	Requests      uint64 // resolutions begun: one for each question that memory did not answer
	Queries       uint64 // messages sent upstream for them
	Verifications uint64 // signatures verified, failed ones included
	Failures      uint64 // signatures that did not verify
	Hashes        uint64 // NSEC3 hash chains computed
	Synthesised   uint64 // negative answers made of denials that other answers brought (RFC 8198)

	// Entries of the bounded maps, those included that are past their time.
	Zones, Servers, Trusts, Failed, Open int
}

// totals are the sums over all requests.
type totals struct {
	requests, queries, verifications, failures, hashes, synthesised atomic.Uint64
}

// count adds what one request has cost.
func (t *totals) count(w *work) {
	t.requests.Add(1)
	t.queries.Add(uint64(maxQueries - max(w.left.Load(), 0)))
	if n := w.proofs.Verifications(); n > 0 {
		t.verifications.Add(uint64(n))
		t.failures.Add(uint64(w.proofs.Failures()))
	}
	if n := w.proofs.Hashes(); n > 0 {
		t.hashes.Add(uint64(n))
	}
}

// Stats counts requests that have ended; each counts once, when it ends.
func (r *Resolver) Stats() Stats {
	s := Stats{
		Requests: r.totals.requests.Load(), Queries: r.totals.queries.Load(),
		Verifications: r.totals.verifications.Load(), Failures: r.totals.failures.Load(), Hashes: r.totals.hashes.Load(),
		Synthesised: r.totals.synthesised.Load(),
		Zones:       r.cuts.m.len(), Servers: r.servers.len(), Failed: r.failures.len(), Open: r.open.len(),
	}
	if on := r.footing.Load(); on != nil {
		s.Trusts = on.trusts.len()
	}
	return s
}

func (m *boundedMap[K, V]) len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.index)
		s.mu.Unlock()
	}
	return n
}

func (f *failures) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.runs)
}
