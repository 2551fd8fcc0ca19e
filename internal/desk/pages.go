package desk

import (
	"net/url"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/web"
	"github.com/shoji-dns/shoji/ledger"
)

// logAddress is where the log's files are; "" where that is not known.
func (d *Desk) logAddress(r *web.Request) string {
	if d.conf.Files != nil {
		return r.Address() + "/log/"
	}
	return d.conf.LogAddress
}

func (d *Desk) logJSON(r *web.Request) (*web.Reply, error) {
	s := d.state.Load()
	out := map[string]any{
		"key": d.conf.VerifierKey, "address": d.logAddress(r), "tree_size": s.tip.Size, "root": hashText(s.tip.Root), "checkpoint": string(s.tip.Raw),
	}
	if e := s.epoch; e != nil {
		out["list"] = map[string]any{"entry": e.Entry, "time": e.Time, "entries": e.Size, "listings": e.Count, "digest": e.Digest.String(), "octets": e.Bytes, "map": e.Map.String()}
	}
	return web.JSON(out)
}

func (d *Desk) logPage(r *web.Request) (*web.Reply, error) {
	s := d.state.Load()
	at := d.logAddress(r)
	latest := []uint64{}
	for i := uint64(1); i <= 5 && i <= s.tip.Size; i++ {
		latest = append(latest, s.tip.Size-i)
	}
	return d.page("log", web.Text{EN: "The log, and how to verify it", JA: "ログとその検証方法"}, map[string]any{
		"Checkpoint": s.tip, "Note": string(s.tip.Raw), "Key": d.conf.VerifierKey, "Address": at, "Here": d.conf.Files != nil,
		"Epoch": s.epoch, "Latest": latest,
	}), nil
}

func (d *Desk) home(*web.Request) (*web.Reply, error) {
	now := d.state.Load()
	reply := d.page("home", web.Text{EN: "Protective DNS that anyone can check", JA: "誰でも検証できる保護 DNS"}, struct {
		Epoch   *ledger.Epoch
		Entries uint64
		Map     string
		Appeal  string
	}{now.epoch, now.tip.Size, d.mapPath(), d.conf.Appeal})
	if d.mapPath() != "" {
		reply.Script = scriptPath
	}
	return reply, nil
}

// optOutPage is how to leave.
type optOutPage struct {
	Resolver
	SameAddress bool // both views over encrypted transports look alike on the way
}

func (d *Desk) optOut(*web.Request) (*web.Reply, error) {
	r := d.conf.Resolver
	return d.page("optout", web.Text{EN: "How to opt out, and who can see it", JA: "使わない方法と、それが誰に見えるか"}, optOutPage{
		Resolver: r, SameAddress: sameHosts(r.EncryptedFiltered, r.EncryptedUnfiltered),
	}), nil
}

func (d *Desk) optOutJSON(*web.Request) (*web.Reply, error) {
	r := d.conf.Resolver
	view := func(plain, encrypted []string) map[string]any {
		return map[string]any{"plain": append([]string{}, plain...), "encrypted": append([]string{}, encrypted...)}
	}
	return web.JSON(map[string]any{
		"filtered": view(r.Filtered, r.EncryptedFiltered), "unfiltered": view(r.Unfiltered, r.EncryptedUnfiltered),
		"looks_the_same_on_the_way": sameHosts(r.EncryptedFiltered, r.EncryptedUnfiltered),
	})
}

// sameHosts reports whether all URLs of both are of the same hosts and ports, so that they
// differ in what is encrypted alone.
func sameHosts(a, b []string) bool {
	hosts := func(all []string) string {
		seen := map[string]bool{}
		var out []string
		for _, text := range all {
			u, err := url.Parse(text)
			if err != nil || u.Host == "" {
				return text
			}
			if key := u.Scheme + "://" + u.Host; !seen[key] {
				seen[key] = true
				out = append(out, key)
			}
		}
		return strings.Join(out, " ")
	}
	return len(a) > 0 && len(b) > 0 && hosts(a) == hosts(b)
}

// sinkholePage is what filtered names lead to.
type sinkholePage struct {
	Sinkhole
	Days, MiB string
	Nowhere   bool
}

func (d *Desk) sinkhole(*web.Request) (*web.Reply, error) {
	s := d.conf.Sinkhole
	return d.page("sinkhole", web.Text{EN: "What filtered names lead to", JA: "遮断された名前の行き先"}, sinkholePage{
		Sinkhole: s, Days: web.Number(int64(s.Retain / (24 * time.Hour))), MiB: web.Number(s.Disk >> 20),
		Nowhere: !s.Ours && s.IPv4.IsLoopback(),
	}), nil
}

func (d *Desk) sinkholeJSON(*web.Request) (*web.Reply, error) {
	s := d.conf.Sinkhole
	out := map[string]any{"ipv4": s.IPv4, "ipv6": s.IPv6, "run_with_the_resolver": s.Ours}
	if s.Ours {
		kept := map[string]any{
			"octets_of_a_connection": s.Octets, "retention_seconds": int64(s.Retain.Seconds()), "disk_octets": s.Disk,
			"client_addresses": "none",
		}
		if s.Truncated {
			kept["client_addresses"], kept["legal_basis"] = "cut to /24 and /48", s.Basis
		}
		out["kept"] = kept
	}
	return web.JSON(out)
}
