package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// family is one metric, or several that differ by labels.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	each func(r *Reading, out func(value float64, labels ...string))
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

func newFamily(kind prometheus.ValueType, name, help string, labels []string, each func(*Reading, func(float64, ...string))) family {
	return family{prometheus.NewDesc("shoji_"+name, help, labels, nil), kind, each}
}

// single is a family of one metric without labels.
func single(kind prometheus.ValueType, name, help string, value func(*Reading) uint64) family {
	return newFamily(kind, name, help, nil, func(r *Reading, out func(float64, ...string)) { out(float64(value(r))) })
}

// families are all that are told of a Reading.
func families() []family {
	var all []family
	for _, some := range [][]family{queryFamilies(), cacheFamilies(), resolveFamilies(), listFamilies(), sourceFamilies(), followFamilies()} {
		all = append(all, some...)
	}
	return all
}

func queryFamilies() []family {
	at := []string{"view", "transport"}
	return []family{
		newFamily(gauge, "build_info", "The version that runs: always 1.", []string{"version"}, func(r *Reading, out func(float64, ...string)) { out(1, r.Version) }),
		single(gauge, "ready", "1 where the filtered view can answer.", func(r *Reading) uint64 { return truth(r.Unready == "") }),
		newFamily(counter, "queries_total", "What became of queries: hit and miss were answered, from memory or not; shed found no place and got SERVFAIL.", append(at[:2:2], "outcome"),
			func(r *Reading, out func(float64, ...string)) {
				for _, s := range r.Sockets {
					for _, o := range s.Outcomes {
						out(float64(o.Count), s.View, s.Transport, o.Name)
					}
				}
			}),
		sockets(at, "replies_unsent_total", "Replies that the system did not take.", func(s *Sockets) uint64 { return s.Unsent }),
		sockets(at, "connections_total", "Connections that were accepted.", func(s *Sockets) uint64 { return s.Conns }),
		sockets(at, "connections_refused_total", "Connections that were closed because there was no place for them.", func(s *Sockets) uint64 { return s.NoPlace }),
		newFamily(counter, "filtered_answers_total", "Answers in which a listing decided.", []string{"view"}, func(r *Reading, out func(float64, ...string)) {
			for _, v := range r.Views {
				out(float64(v.Filtered), v.Name)
			}
		}),
	}
}

func sockets(labels []string, name, help string, value func(*Sockets) uint64) family {
	return newFamily(counter, name, help, labels, func(r *Reading, out func(float64, ...string)) {
		for i := range r.Sockets {
			s := &r.Sockets[i]
			out(float64(value(s)), s.View, s.Transport)
		}
	})
}

func cacheFamilies() []family {
	return []family{
		single(gauge, "cache_bytes", "Memory of the cache, in octets.", func(r *Reading) uint64 { return r.Cache.Bytes }),
		single(gauge, "cache_entries", "Answers in the cache.", func(r *Reading) uint64 { return r.Cache.Entries }),
		single(counter, "cache_puts_total", "Answers that were remembered.", func(r *Reading) uint64 { return r.Cache.Puts }),
		single(counter, "cache_evicted_total", "Answers that had to leave the cache.", func(r *Reading) uint64 { return r.Cache.Evicted }),
	}
}

func resolveFamilies() []family {
	return []family{
		single(counter, "resolutions_total", "Questions that the cache did not answer, resolved.", func(r *Reading) uint64 { return r.Resolve.Requests }),
		single(counter, "upstream_queries_total", "Messages that were sent to other servers.", func(r *Reading) uint64 { return r.Resolve.Queries }),
		single(counter, "dnssec_verifications_total", "Signatures that were verified, failed ones included.", func(r *Reading) uint64 { return r.Resolve.Verifications }),
		single(counter, "dnssec_failures_total", "Signatures that did not verify.", func(r *Reading) uint64 { return r.Resolve.Failures }),
		single(counter, "nsec3_hashes_total", "NSEC3 hash chains that were computed.", func(r *Reading) uint64 { return r.Resolve.Hashes }),
		single(counter, "synthesised_total", "Negative answers that were made of proofs at hand (RFC 8198).", func(r *Reading) uint64 { return r.Resolve.Synthesised }),
		single(counter, "refreshes_total", "Questions that were resolved in the background.", func(r *Reading) uint64 { return r.Resolve.Refreshed }),
		single(counter, "refreshes_dropped_total", "Questions for the background that found no place.", func(r *Reading) uint64 { return r.Resolve.Dropped }),
		newFamily(gauge, "table_entries", "Entries of the resolver's bounded tables.", []string{"table"}, func(r *Reading, out func(float64, ...string)) {
			v := &r.Resolve
			for _, t := range []struct {
				name string
				n    int
			}{{"zones", v.Zones}, {"servers", v.Servers}, {"trusts", v.Trusts}, {"failures", v.Failed}, {"open", v.Open}} {
				out(float64(t.n), t.name)
			}
		}),
	}
}

func listFamilies() []family {
	return []family{
		single(gauge, "list_listings", "Listings of the list in force.", func(r *Reading) uint64 { return r.List.Listings }),
		single(gauge, "list_bytes", "Octets of the list in force.", func(r *Reading) uint64 { return r.List.Bytes }),
		single(gauge, "list_log_entries", "Entries of the log that the list in force was compiled from.", func(r *Reading) uint64 { return r.List.Size }),
		times("list_time_seconds", "When the list in force was published, in Unix time.", func(r *Reading) time.Time { return r.List.Time }),
	}
}

// times is a gauge of a moment; nothing is told of one that is not known.
func times(name, help string, at func(*Reading) time.Time) family {
	return newFamily(gauge, name, help, nil, func(r *Reading, out func(float64, ...string)) {
		if t := at(r); !t.IsZero() {
			out(float64(t.Unix()))
		}
	})
}

func sourceFamilies() []family {
	source := func(name, help string, value func(*Source) float64) family {
		return newFamily(gauge, name, help, []string{"source"}, func(r *Reading, out func(float64, ...string)) {
			for i := range r.Sources {
				out(value(&r.Sources[i]), r.Sources[i].ID)
			}
		})
	}
	return []family{
		source("source_failures", "Readings of a source of evidence that failed in a row.", func(s *Source) float64 { return float64(s.Failures) }),
		source("source_claims", "Claims of a source of evidence.", func(s *Source) float64 { return float64(s.Claims) }),
		newFamily(gauge, "source_read_seconds", "When a source was last read whole, in Unix time.", []string{"source"}, func(r *Reading, out func(float64, ...string)) {
			for _, s := range r.Sources {
				if !s.Read.IsZero() {
					out(float64(s.Read.Unix()), s.ID)
				}
			}
		}),
		single(gauge, "list_change_held", "1 where a change of the list waits for a person.", func(r *Reading) uint64 { return truth(r.Held) }),
	}
}

func followFamilies() []family {
	follow := func(kind prometheus.ValueType, name, help string, value func(*Follow) float64) family {
		return newFamily(kind, name, help, []string{"log"}, func(r *Reading, out func(float64, ...string)) {
			for i := range r.Follow {
				out(value(&r.Follow[i]), r.Follow[i].Log)
			}
		})
	}
	moment := func(name, help string, at func(*Follow) time.Time) family {
		return newFamily(gauge, name, help, []string{"log"}, func(r *Reading, out func(float64, ...string)) {
			for i := range r.Follow {
				if t := at(&r.Follow[i]); !t.IsZero() {
					out(float64(t.Unix()), r.Follow[i].Log)
				}
			}
		})
	}
	return []family{
		newFamily(gauge, "follow_state", "How a log that is followed stands: 1 for the state that it is in.", []string{"log", "state"}, func(r *Reading, out func(float64, ...string)) {
			for _, f := range r.Follow {
				for _, k := range f.Kinds {
					out(float64(truth(k == f.Kind)), f.Log, k)
				}
			}
		}),
		follow(gauge, "follow_alarm", "1 where a person should look: a log that is followed is not right, or a proof that it forked is kept.", func(f *Follow) float64 { return float64(truth(f.Alarm)) }),
		follow(gauge, "follow_damaged", "Checkpoints of a log that is followed that were damaged on this machine, which are kept.", func(f *Follow) float64 { return float64(f.Damaged) }),
		follow(gauge, "follow_forks", "Proofs that a log that is followed forked, which are kept.", func(f *Follow) float64 { return float64(f.Forks) }),
		follow(gauge, "follow_log_entries", "Entries of the newest checkpoint of a log that is followed.", func(f *Follow) float64 { return float64(f.Size) }),
		follow(gauge, "follow_listings", "Listings of the list in force of a log that is followed.", func(f *Follow) float64 { return float64(f.Listings) }),
		follow(counter, "follow_failures_total", "Looks at a log that is followed which failed.", func(f *Follow) float64 { return float64(f.Fails) }),
		moment("follow_list_time_seconds", "When the list in force of a log that is followed was published, in Unix time.", func(f *Follow) time.Time { return f.Time }),
		moment("follow_seen_seconds", "When a log that is followed was last read and found right, in Unix time.", func(f *Follow) time.Time { return f.Seen }),
	}
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
