package audit

import "github.com/shoji-dns/shoji/internal/dns"

// Popular are ordinary names that many people ask for, in many countries, with and without
// DNSSEC, with and without content delivery. They are a sample of no list.
func Popular() []dns.Name {
	var out []dns.Name
	for _, text := range []string{
		"www.wikipedia.org", "en.wikipedia.org", "ja.wikipedia.org", "www.google.com", "www.google.co.jp", "www.youtube.com",
		"www.facebook.com", "www.instagram.com", "x.com", "www.amazon.com", "www.amazon.co.jp", "www.apple.com", "www.microsoft.com",
		"outlook.office.com", "www.netflix.com", "www.cloudflare.com", "github.com", "www.python.org", "pypi.org", "www.debian.org",
		"deb.debian.org", "archive.ubuntu.com", "www.kernel.org", "www.mozilla.org", "www.ietf.org", "www.iana.org", "www.icann.org",
		"www.isc.org", "nlnetlabs.nl", "www.ripe.net", "www.apnic.net", "www.nic.ad.jp", "jprs.jp", "www.yahoo.co.jp", "www.rakuten.co.jp",
		"www.nhk.or.jp", "www.ntt.com", "www.iij.ad.jp", "www.u-tokyo.ac.jp", "www.kyoto-u.ac.jp", "www.ndl.go.jp", "www.e-gov.go.jp",
		"www.bbc.co.uk", "www.theguardian.com", "www.nytimes.com", "www.reuters.com", "www.lemonde.fr", "www.spiegel.de", "elpais.com",
		"www.cern.ch", "www.ethz.ch", "www.mit.edu", "www.stanford.edu", "www.nasa.gov", "www.nist.gov", "europa.eu", "www.who.int",
		"www.un.org", "stackoverflow.com", "www.reddit.com", "www.linkedin.com", "www.zoom.us", "slack.com", "discord.com", "www.spotify.com",
		"store.steampowered.com", "www.paypal.com", "archive.org", "www.openstreetmap.org", "letsencrypt.org", "www.eff.org", "signal.org",
		"www.torproject.org", "proton.me", "duckduckgo.com", "www.bing.com", "www.gnu.org", "www.apache.org", "www.php.net", "go.dev",
	} {
		out = append(out, dns.MustName(text))
	}
	return out
}
