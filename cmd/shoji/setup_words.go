package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// saying is a text in the languages that shoji speaks.
type saying map[string]string

var (
	sayWhom = saying{
		"en": "1. Whom do you follow? The address of an operator's public log, such as https://log.isp.example/,\n   or of several, with commas between them: then what any of them lists is filtered.\n   Empty: nobody; this node keeps a list of its own.\n> ",
		"ja": "1. どの運用者のリストに従いますか。公開ログのアドレス（例: https://log.isp.example/）を入力してください。\n   コンマで区切って複数のログも指定できます。どれか一つに載っていればフィルタリングされます。\n   空欄: 誰にも従わず、このノード自身のリストを使います。\n> ",
	}
	sayKey = saying{
		"en": "   The log shows this key. Compare it with what the operator says elsewhere, such as in a contract:\n   %s\n   Is it that one? [y/N] ",
		"ja": "   ログが示している鍵です。契約書など、ログとは別のところで運用者が示しているものと比べてください。\n   %s\n   同じですか。[y/N] ",
	}
	sayOtherKey = saying{
		"en": "the key was not confirmed: get the right one from the operator and give it with --key",
		"ja": "鍵が確認されませんでした。正しい鍵を運用者から入手し、--key で指定してください",
	}
	sayNoLog = saying{
		"en": "no log can be read at %s: %w",
		"ja": "%s からログを読めません: %w",
	}
	sayLog = saying{
		"en": "   %s: %d entries, and the signature is right.\n",
		"ja": "   %s: %d 項目。署名は正しいものです。\n",
	}
	sayWhich = saying{
		"en": "2. Filtered or unfiltered? What leaves this node is the same either way. [filtered] ",
		"ja": "2. フィルタリングしますか（filtered / unfiltered）。どちらを選んでも、外へ出る通信は同じです。[filtered] ",
	}
	sayEither = saying{
		"en": "   filtered or unfiltered, please.\n",
		"ja": "   filtered か unfiltered のどちらかを入力してください。\n",
	}
	sayHow = saying{
		"en": "3. Through whom do you resolve? URLs of encrypted resolvers, of their unfiltered views, such as\n   https://dns.isp.example/dns-query, with commas between them. So that no resolver knows who asks, through somebody else's\n   proxy: odoh://dns.isp.example/dns-query?view=unfiltered via https://proxy.other.example/proxy\n   Empty: nobody; this node asks the Internet's own servers, unencrypted.\n> ",
		"ja": "3. どのリゾルバーを経由しますか。暗号化されたリゾルバー（フィルタリングなしの側）の URL を、コンマで区切って入力してください\n   （例: https://dns.isp.example/dns-query）。誰が尋ねているかをリゾルバーにも知られたくなければ、別の運用者のプロキシを通します\n   （例: odoh://dns.isp.example/dns-query?view=unfiltered via https://proxy.other.example/proxy）。空欄: 経由せず、インターネットのサーバーに直接、暗号化せずに尋ねます。\n> ",
	}
	sayAlive = saying{
		"en": "   %s answers in %s.\n",
		"ja": "   %s は %s で応答しました。\n",
	}
	sayHidden = saying{
		"en": "   Its name is encrypted on the way (Encrypted Client Hello).\n",
		"ja": "   名前は経路上で暗号化されます（Encrypted Client Hello）。\n",
	}
	sayReadable = saying{
		"en": "   Its name, %s, can be read on the way: it tells of no Encrypted Client Hello.\n",
		"ja": "   名前 %s は経路上で読めます。Encrypted Client Hello の案内がありません。\n",
	}
	sayDead = saying{
		"en": "   %s does not answer and is left out: %v\n",
		"ja": "   %s は応答しないため除きます: %v\n",
	}
	sayNobody = saying{
		"en": "%s: none of its addresses answers",
		"ja": "%s: どのアドレスも応答しません",
	}
	sayFile = saying{
		"en": "# Written by shoji setup. shoji config schema says what else there is.\n",
		"ja": "# shoji setup が書いたものです。ほかの設定は shoji config schema で分かります。\n",
	}
	sayDone = saying{
		"en": "\nWritten: %s\nStart it:\n  shoji serve --config %s\n",
		"ja": "\n書き込みました: %s\n起動:\n  shoji serve --config %s\n",
	}
	sayPort = saying{
		"en": "Port 53 cannot be had by this user, so it is port %d. Most devices ask port 53 alone: run setup and serve as root, or\nallow it with setcap cap_net_bind_service=+ep on the program.\n",
		"ja": "このユーザーはポート 53 を使えないため、ポート %d にしました。多くの機器はポート 53 にしか尋ねません。root で実行するか、\nプログラムに setcap cap_net_bind_service=+ep を設定してください。\n",
	}
	sayMachine = saying{
		"en": `Point this machine at it:
  systemd-resolved  DNS=%[1]s and Domains=~. in /etc/systemd/resolved.conf.d/shoji.conf, then systemctl restart systemd-resolved
  NetworkManager    nmcli connection modify NAME ipv4.dns 127.0.0.1 ipv4.ignore-auto-dns yes ipv6.dns ::1 ipv6.ignore-auto-dns yes
  resolv.conf       nameserver 127.0.0.1
  macOS, Windows    the DNS servers of the network connection: 127.0.0.1 and ::1
`,
		"ja": `この機械の DNS サーバーを変えます:
  systemd-resolved  /etc/systemd/resolved.conf.d/shoji.conf に DNS=%[1]s と Domains=~. を書き、systemctl restart systemd-resolved
  NetworkManager    nmcli connection modify 接続名 ipv4.dns 127.0.0.1 ipv4.ignore-auto-dns yes ipv6.dns ::1 ipv6.ignore-auto-dns yes
  resolv.conf       nameserver 127.0.0.1
  macOS, Windows    ネットワーク接続の DNS サーバーを 127.0.0.1 と ::1 に
`,
	}
	sayLAN = saying{
		"en": `Point the router at it, so that every device uses it:
  DNS servers that DHCP gives (option 6)       %[1]s
  the same for IPv6 (RDNSS, DHCPv6 option 23)  %[2]s
Give both, or switch the router's own DNS over IPv6 off: a device that still learns another server asks that one too.
These addresses must stay as they are: have the router reserve them for this machine.
`,
		"ja": `すべての機器が使うように、ルーターを設定します:
  DHCP で配る DNS サーバー（オプション 6）            %[1]s
  IPv6 での DNS サーバー（RDNSS、DHCPv6 オプション 23） %[2]s
両方を設定するか、ルーター自身の IPv6 での DNS を止めてください。別のサーバーを知っている機器は、そちらにも尋ねます。
これらのアドレスが変わらないよう、ルーターでこの機械に固定してください。
`,
	}
	sayWholeLAN = saying{
		"en": "To serve the whole local network: shoji setup --lan\n",
		"ja": "ローカルネットワーク全体で使うには: shoji setup --lan\n",
	}
	sayFallback = saying{
		"en": "While no resolver that you named answers, this node asks the Internet's own servers, unencrypted. If it shall fail instead,\nset forward_fallback: false.\n",
		"ja": "指定したリゾルバーがどれも応答しない間は、インターネットのサーバーに直接、暗号化せずに尋ねます。それより失敗を望むなら、\nforward_fallback: false にしてください。\n",
	}
	sayError = saying{"en": "   %v\n", "ja": "   %v\n"}
	sayNone  = saying{"en": "none", "ja": "なし"}
)

// configuration is the file's text.
func (p *plan) configuration(q *questions) string {
	var b strings.Builder
	b.WriteString(q.text(sayFile))
	at := append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, p.lan...)
	var sockets []string
	for _, a := range at {
		sockets = append(sockets, strconv.Quote(netip.AddrPortFrom(a, p.port).String()))
	}
	here, none := "["+strings.Join(sockets, ", ")+"]", "[]"
	if p.filtered {
		fmt.Fprintf(&b, "listen:\n  filtered: %s\n  unfiltered: %s\n", here, none)
	} else {
		fmt.Fprintf(&b, "listen:\n  filtered: %s\n  unfiltered: %s\n", none, here)
	}
	if len(p.prefixes) > 0 {
		allow := []string{"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", `"::1/128"`, `"fc00::/7"`, `"fe80::/10"`}
		for _, x := range p.prefixes {
			allow = append(allow, strconv.Quote(x.String()))
		}
		fmt.Fprintf(&b, "  allow: [%s]\n", strings.Join(allow, ", "))
	}
	for i, l := range p.logs {
		if i == 0 {
			b.WriteString("follow:\n")
		}
		fmt.Fprintf(&b, "  - {log: %s, key: %s}\n", strconv.Quote(l.log), strconv.Quote(l.key))
	}
	if len(p.through) > 0 {
		b.WriteString("forward:\n")
		for _, r := range p.through {
			fmt.Fprintf(&b, "  - %s\n", strconv.Quote(r))
		}
		b.WriteString("forward_fallback: true\n")
		if p.ca != "" {
			fmt.Fprintf(&b, "forward_ca: %s\n", strconv.Quote(p.ca))
		}
	}
	return b.String()
}

// directions are what to do with the file.
func (p *plan) directions(q *questions, path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, q.text(sayDone), path, path)
	if p.port != 53 {
		fmt.Fprintf(&b, q.text(sayPort), p.port)
	}
	if len(p.lan) > 0 {
		family := func(is func(netip.Addr) bool) string {
			var out []string
			for _, a := range p.lan {
				if is(a) && !slices.Contains(out, a.String()) {
					out = append(out, a.String())
				}
			}
			if len(out) == 0 {
				return q.text(sayNone)
			}
			return strings.Join(out, ", ")
		}
		fmt.Fprintf(&b, q.text(sayLAN), family(netip.Addr.Is4), family(netip.Addr.Is6))
	} else {
		at := "127.0.0.1"
		if p.port != 53 {
			at += ":" + strconv.Itoa(int(p.port))
		}
		fmt.Fprintf(&b, q.text(sayMachine), at)
		b.WriteString(q.text(sayWholeLAN))
	}
	if len(p.through) > 0 {
		b.WriteString(q.text(sayFallback))
	}
	return b.String()
}
