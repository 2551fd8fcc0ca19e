#!/bin/bash
# observer.sh [-i] [OPTIONS OF THE OBSERVER...]: what somebody on the path learns of the view that a
# client chose.
#
# shoji serves its lab in one network namespace; clients and local nodes are in another one, and
# the observer sits on the link between them. See main.go.
#
# Needs root, ip, dig and ethtool. What is missing is installed from Debian with -i; else the
# script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/../.." && pwd)
. "$HERE/../stage.sh"
install=; if [ "${1:-}" = -i ]; then install=-i; shift; fi
need "$install" ip:iproute2 dig:bind9-dnsutils ethtool:ethtool
ISP_NS=$NS HOME_NS=$NS-home SERVER=198.18.77.1 TWIN=198.18.78.1
trap 'cleanup; ip netns del "$HOME_NS" 2>/dev/null || true; ip netns del "$ISP_NS" 2>/dev/null || true' EXIT

note "building"
(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji && go build -o "$W/observer" ./test/observer)

note "two namespaces and a link"
make_namespace
ip netns add "$HOME_NS"
ip -n "$HOME_NS" link set lo up
ip link add home netns "$HOME_NS" type veth peer name isp netns "$NS"
ip -n "$HOME_NS" addr add 198.18.77.0/31 dev home
ip -n "$NS" addr add $SERVER/31 dev isp
ip -n "$NS" addr add $TWIN/32 dev isp
ip -n "$HOME_NS" link set home up
ip -n "$NS" link set isp up
ip -n "$HOME_NS" route add $TWIN/32 via $SERVER
# packets as they would be on a wire, not as the kernel hands them on
ip netns exec "$HOME_NS" ethtool -K home tso off gso off gro off > /dev/null
ip netns exec "$NS" ethtool -K isp tso off gso off gro off > /dev/null

cat > "$W/isp.yaml" <<CONF
listen: {filtered: ["$SERVER:53"], unfiltered: ["$TWIN:53"], allow: [198.18.77.0/31]}
encrypted:
  dot: ["$SERVER:853"]
  doh: ["$SERVER:443"]
  doq: ["$SERVER:853"]
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
  oblivious: {target: true}
resolve: {aggressive_nsec: false} # what nobody asked for before is asked for of others, and not proven from memory
log: {listen: []}
reporting: {level: warn}
CONF
relay() { # relay NAME ADDRESS: an oblivious proxy to the server
  cat > "$W/$1.yaml" <<CONF
listen: {filtered: ["127.0.0.1:5390"], unfiltered: [], allow: [127.0.0.0/8, 198.18.77.0/31]}
encrypted:
  doh: ["$2"]
  filtered: {name: dns3.example}
  unfiltered: {name: dns4.example}
  oblivious: {proxy_for: ["https://$SERVER/dns-query#dns1.example"], proxy_ca: $W/isp/tls/self-signed.pem}
log: {listen: []}
reporting: {level: warn}
CONF
  start "$1" "$W/shoji" serve --lab --config "$W/$1.yaml" --state "$W/$1"
  wait_for 127.0.0.1 5390 www.shop.test
}
start isp "$W/shoji" serve --lab --config "$W/isp.yaml" --state "$W/isp"
for i in $(seq 100); do [ -e "$W/isp/tls/self-signed.pem" ] && break; sleep 0.2; done
relay far $SERVER:8443    # what crosses the link is between clients and their proxy
NS=$HOME_NS
wait_for $SERVER 53 www.shop.test
relay near 127.0.0.1:8443 # and here what is between a proxy and its target
cat "$W"/{isp,far,near}/tls/self-signed.pem > "$W/all.pem"
wait_for $TWIN 53 www.shop.test

node() { # node NAME PORT VIEW FORWARD: a local node that answers on loopback
  cat > "$W/$1.yaml" <<CONF
state: $W/$1
listen: {$3: ["127.0.0.1:$2"], $([ "$3" = filtered ] && echo unfiltered || echo filtered): []}
forward: ["$4"]
${5:-}
resolve: {trust_anchors: [], aggressive_nsec: false}
local_zones: [{name: test, kind: nodefault}, {name: example, kind: nodefault}]
log: {listen: []}
reporting: {level: warn}
CONF
  printf 'c2.evil.test\nexact.evil.test\n203.0.113.0/24\n' |
    "$W/shoji" list import - --source lab --kind c2 --scope subtree --config "$W/$1.yaml" > "$W/$1.import" 2>&1 || { cat "$W/$1.import"; exit 1; }
  start "$1" "$W/shoji" serve --config "$W/$1.yaml"
  wait_for 127.0.0.1 "$2" www.shop.test
}
ca="forward_ca: $W/isp/tls/self-signed.pem"
node bare-filtered 5301 filtered $SERVER
node bare-unfiltered 5302 unfiltered $TWIN
node node-filtered 5303 filtered "tls://$SERVER#dns2.example&ech=auto" "$ca"
node node-unfiltered 5304 unfiltered "tls://$SERVER#dns2.example&ech=auto" "$ca"

ech=$(inside "$W/shoji" query _dns.dns2.example SVCB --server $SERVER:53 | sed -n 's/.* ech="\{0,1\}\([0-9A-Za-z+\/=]*\).*/\1/p' | head -1)
[ -n "$ech" ] || { echo "no configuration of Encrypted Client Hello is told"; exit 1; }

note "sessions"
inside "$W/observer" -interface home -filtered $SERVER:53 -unfiltered $TWIN:53 -server $SERVER -ca "$W/all.pem" -proxies odoh=$SERVER:8443,odoh-onward=127.0.0.1:8443 -ech "$ech" \
  -nodes node-bare=127.0.0.1:5301/127.0.0.1:5302,node=127.0.0.1:5303/127.0.0.1:5304 "$@"
