#!/bin/bash
# lists.sh FOLDER: real lists, imported with their kinds and decided in one run, on one
# processor and without a network. It prints what each clause listed or spared, the time of the
# processor and the most memory. FOLDER holds snapshots under the names below (upstream: Maltrail, Blackbook,
# C2-Tracker, Phishing.Database, NoCoin, CoinBlockerLists, Tor-IP-Addresses,
# domain_generation_algorithms, MISP warning lists); what is not there is left out. Lists
# without dates count as published when their files were written, so that the same snapshot
# lists less the older it is: SHOJI_DATED=2026-08-23 dates copies of them all. SHOJI_CURRENT=1 takes Maltrail's
# trails for a current list and not for an archive, to see what they alone would list.
set -euo pipefail
from=$(cd "${1:?usage: lists.sh FOLDER}" && pwd)
cd "$(dirname "$0")/.."
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT
go build -o "$W/shoji" ./cmd/shoji
if [ -n "${SHOJI_DATED:-}" ]; then
  cp -r --no-preserve=mode "$from" "$W/lists"; from=$W/lists
  find "$from" -exec touch -h -d "$SHOJI_DATED" {} +
fi
source() { # ID PATH KINDS [REST]
  [ -e "$from/$2" ] || return 0
  echo "  - {id: $1, location: \"$from/$2\", kinds: [$3]${4:+, $4}}" >> "$W/shoji.yaml"
}
printf 'state: %s\nsources:\n' "$W/state" > "$W/shoji.yaml"
source maltrail-malware maltrail/trails/static/malware c2 "group: maltrail${SHOJI_CURRENT:+, undated: current}, format: maltrail"
source maltrail-malicious maltrail/trails/static/malicious malware-host "group: maltrail, format: maltrail"
for pair in anonymous_web_proxy:proxy crypto_mining:coin-miner dynamic_domain:shared-apex free_web_hosting:shared-apex i2p:anonymity-relay \
  onion:anonymity-relay parking_site:benign port_proxy:proxy; do
  source "maltrail-${pair%%:*}" "maltrail/trails/static/suspicious/${pair%%:*}.txt" "${pair##*:}" "group: maltrail, format: maltrail"
done
sed -i 's/id: maltrail-\([a-z]*\)_\([a-z]*\)_*\([a-z]*\)/id: maltrail-\1-\2\3/' "$W/shoji.yaml"
source maltrail-whitelist maltrail/data/whitelist.txt benign "group: maltrail, format: plain"
source blackbook blackbook.csv c2 "group: maltrail" # of the same author
source c2-tracker c2-tracker/all.txt c2
source phishing phishing phishing
source nocoin miners/nocoin-hosts.txt coin-miner
source coinblocker miners/coinblocker-list.txt coin-miner
source tor tor anonymity-relay
source dga dga dga "format: plain"
source lots misp-warninglists/lots-project.json user-content
for list in dynamic-dns; do source "misp-$list" "misp-warninglists/$list.json" shared-apex "group: misp"; done
for list in vpn-ipv4 icloud-private-relay; do source "misp-$list" "misp-warninglists/$list.json" proxy "group: misp"; done
for list in akamai amazon-aws apple bank-website cloudflare github google microsoft microsoft-win10-connection-endpoints wikimedia \
  ti-falsepositives common-ioc-false-positive crl-hostname captive-portals public-dns-hostname public-dns-v4 public-dns-v6 sinkholes \
  automated-malware-analysis security-provider-blogpost url-shortener link-in-bio; do
  source "misp-$list" "misp-warninglists/$list.json" benign "group: misp"
done
source cisco misp-warninglists/cisco_top20k.json popular
source cloudflare misp-warninglists/cloudflare-top100k.json popular
source tranco misp-warninglists/tranco10k.json popular
start=$SECONDS
GOMAXPROCS=1 "$W/shoji" list update --confirm --config "$W/shoji.yaml" > "$W/report" 2> "$W/errors" & pid=$!
peak=0 ticks=0
while kill -0 "$pid" 2>/dev/null; do
  peak=$(awk '/VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true) last=${peak:-${last:-0}}
  ticks=$(awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || true) spent=${ticks:-${spent:-0}}
  sleep 0.5
done
wait "$pid" || { cat "$W/errors" "$W/report" >&2; exit 1; }
cat "$W/report"
echo "$((spent / $(getconf CLK_TCK))) s of one processor in $((SECONDS - start)) s, $((last / 1024)) MiB at most"
