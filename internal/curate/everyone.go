package curate

import (
	"strings"

	"github.com/shoji-dns/shoji/internal/dns"
)

// everyone holds names that so many people and machines need that a listing is a mistake until a
// person has confirmed it: search, mail, operating systems and their updates, certificates, time,
// software, banks' and states' portals. They are popular names for the policy, whatever sources
// an operator has. They stand for themselves and for www below them, not for what strangers have below.
var everyone = []string{
	"adobe.com", "akamai.com", "akamai.net", "akamaiedge.net", "akamaized.net", "alibaba.com", "aliexpress.com", "amazon.com",
	"amazon.co.jp", "amazonaws.com", "amazontrust.com", "android.com", "apache.org", "apple.com", "archive.org", "au.com",
	"baidu.com", "bbc.co.uk", "bbc.com", "bing.com", "bsky.app", "cdn-apple.com", "cloudflare.com", "cloudflare-dns.com",
	"cloudfront.net", "cnn.com", "cookpad.com", "crates.io", "crunchyroll.com", "debian.org", "digicert.com", "discord.com",
	"dmm.com", "docker.com", "docker.io", "docomo.ne.jp", "dropbox.com", "duckduckgo.com", "e-gov.go.jp", "ebay.com",
	"facebook.com", "fastly.net", "fbcdn.net", "fedoraproject.org", "firefox.com",
	"ghcr.io", "github.com", "githubusercontent.com", "gitlab.com", "globalsign.com", "gmail.com", "go.dev", "golang.org",
	"google.co.jp", "google.com", "google-analytics.com", "googleapis.com", "googleusercontent.com", "googlevideo.com",
	"gstatic.com", "gvt1.com", "gvt2.com", "iana.org", "ibm.com", "icann.org", "icloud.com", "ietf.org", "iij.ad.jp",
	"instagram.com", "intel.com", "japanpost.jp", "jma.go.jp", "kernel.org", "letsencrypt.org", "lencr.org", "line.me",
	"linkedin.com", "live.com", "mastodon.social", "mercari.com", "microsoft.com", "microsoftonline.com", "mozilla.com",
	"mozilla.net", "mozilla.org", "msftconnecttest.com", "msftncsi.com", "msn.com", "mufg.jp", "myna.go.jp", "netflix.com",
	"nflxvideo.net", "nhk.jp", "nhk.or.jp", "nicovideo.jp", "nintendo.com", "nintendo.net", "npmjs.com", "npmjs.org",
	"ntp.org", "nvidia.com", "office.com", "office.net", "office365.com", "openai.com", "openstreetmap.org", "oracle.com",
	"outlook.com", "paypal.com", "paypay.ne.jp", "pinterest.com", "pixiv.net", "playstation.com", "playstation.net", "pypi.org",
	"python.org", "pythonhosted.org", "qq.com", "quad9.net", "rakuten.co.jp", "reddit.com", "redhat.com", "rubygems.org",
	"samsung.com", "sectigo.com", "shopify.com", "skype.com", "slack.com", "smbc.co.jp", "snapchat.com", "softbank.jp",
	"sony.com", "spotify.com", "stackoverflow.com", "steampowered.com", "stripe.com", "t.co", "taobao.com", "telegram.org",
	"tiktok.com", "tumblr.com", "twitch.tv", "twitter.com", "ubuntu.com", "usertrust.com", "verisign.com", "vimeo.com",
	"whatsapp.com", "whatsapp.net", "wikimedia.org", "wikipedia.org", "windows.com", "windows.net", "windowsupdate.com",
	"wordpress.com", "wordpress.org", "x.com", "xboxlive.com", "yahoo.co.jp", "yahoo.com", "yandex.ru", "youtube.com", "zoom.us",
}

// everyoneRank is the rank that these names have: not first, and in any top list.
const everyoneRank = "1000"

// isEveryones reports whether a name, in lower case, is one of everyone's.
func (g Guard) isEveryones(name dns.Name) bool {
	const www = "\x03www"
	return g.everyone[name] || strings.HasPrefix(string(name), www) && g.everyone[name[len(www):]]
}
