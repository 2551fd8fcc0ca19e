package scenario

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// serverAddrs are the addresses at which the story has servers. Where a range or a step has
// none, every name server's address is one.
func (s *Scenario) serverAddrs() []netip.Addr {
	var all []netip.Addr
	add := func(texts ...string) {
		for _, text := range texts {
			if a, ok := readAddr(text); ok && !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	anywhere := false
	for _, r := range s.Ranges {
		add(r.Addrs...)
		anywhere = anywhere || len(r.Addrs) == 0
	}
	for _, z := range s.Zones {
		add(z.Addrs...)
	}
	for _, key := range []string{"stub-addr", "forward-addr", "master", "primary"} {
		add(s.every(key)...)
	}
	for _, step := range s.Steps {
		switch step.Kind {
		case "REPLY", "CHECK_OUT_QUERY":
			add(step.Addr)
			anywhere = anywhere || step.Kind == "REPLY" && step.Addr == ""
		case "TIMEOUT", "ERROR":
			anywhere = true
		}
	}
	if anywhere {
		for _, rr := range s.glue() {
			add(addressOf(rr))
		}
	}
	return all
}

func addressOf(rr dns.RR) string {
	switch x := rr.(type) {
	case *dns.A:
		return x.A.String()
	case *dns.AAAA:
		return x.AAAA.String()
	}
	return ""
}

// scripted yields the records that servers of the story send.
func (s *Scenario) scripted(yield func(dns.RR)) {
	each := func(e *Entry) {
		for _, m := range e.Messages {
			for _, section := range [][]dns.RR{m.Msg.Answer, m.Msg.Ns, m.Msg.Extra} {
				for _, rr := range section {
					yield(rr)
				}
			}
		}
	}
	for _, r := range s.Ranges {
		for _, e := range r.Entries {
			each(e)
		}
	}
	for _, step := range s.Steps {
		if step.Entry != nil && (step.Kind == "REPLY" || step.Kind == "CHECK_OUT_QUERY") {
			each(step.Entry)
		}
	}
}

// glue is the address records of the story's name servers.
func (s *Scenario) glue() (records []dns.RR) {
	servers := make(map[string]bool)
	s.scripted(func(rr dns.RR) {
		if ns, ok := rr.(*dns.NS); ok {
			servers[strings.ToLower(ns.Ns)] = true
		}
	})
	s.scripted(func(rr dns.RR) {
		if servers[strings.ToLower(rr.Header().Name)] && addressOf(rr) != "" {
			records = append(records, rr)
		}
	})
	return records
}

// rootName is the name that the story gives the root server at an address.
func (s *Scenario) rootName(addr netip.Addr) string {
	servers := make(map[string]bool)
	s.scripted(func(rr dns.RR) {
		if ns, ok := rr.(*dns.NS); ok && ns.Hdr.Name == "." {
			servers[strings.ToLower(ns.Ns)] = true
		}
	})
	found := ""
	s.scripted(func(rr dns.RR) {
		if a, err := netip.ParseAddr(addressOf(rr)); err == nil && a == addr && servers[strings.ToLower(rr.Header().Name)] {
			found = rr.Header().Name
		}
	})
	return found
}
