#!/bin/bash
# run.sh: shoji against real servers, as its users meet them.
#
# In a network namespace that it makes and removes, NSD serves a tree of zones
# (root, two TLDs, 40 leaf zones) on loopback addresses. shoji resolves it from
# the root, filtered and unfiltered; dig and kdig ask both views; Unbound
# forwards to shoji as a real client; shoji forwards to Unbound over TLS and HTTPS;
# and for a thousand questions shoji's answers are compared with Unbound's own:
# equal up to TTL and order.
#
# Needs root, and nsd, unbound, dig, kdig, openssl and ip. What is missing is installed
# from Debian with -i (services are not started); else the script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/../.." && pwd)
FAILED=0 PASSED=0
. "$HERE/../stage.sh"
need "${1:-}" nsd:nsd unbound:unbound dig:bind9-dnsutils kdig:knot-dnsutils openssl:openssl ip:iproute2
pass() { PASSED=$((PASSED + 1)); echo "ok   $*"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL $*"; }
. "$HERE/tree.sh"

ask() { inside dig +tries=1 +time=5 +noall +answer +comments +nottlid "$@"; }
# expect TEXT PATTERN DIG-ARGUMENTS...: the whole dig output has a line that fits the pattern
expect() {
  local text=$1 pattern=$2 out; shift 2
  out=$(inside dig +tries=1 +time=5 "$@" 2>&1) || true
  if grep -Eq -- "$pattern" <<< "$out"; then pass "$text"; else fail "$text: nothing fits /$pattern/ in: $out"; fi
}
refuse() { # refuse TEXT PATTERN DIG-ARGUMENTS...: no line fits
  local text=$1 pattern=$2 out; shift 2
  out=$(inside dig +tries=1 +time=5 "$@" 2>&1) || true
  if grep -Eq -- "$pattern" <<< "$out"; then fail "$text: /$pattern/ is in: $out"; else pass "$text"; fi
}
# answers SERVER PORT FILE: one line a question: name, type, status, sorted data, without TTL and letter case
answers() {
  inside dig "@$1" -p "$2" +tries=2 +time=5 +noall +answer +comments +question +nottlid -f "$3" | awk '
    function flush(  i, n, a, t) {
      if (q == "") return
      n = split(data, a, "\n"); t = ""
      for (i = 2; i <= n; i++) { j = i; while (j > 2 && a[j-1] > a[j]) { x = a[j]; a[j] = a[j-1]; a[j-1] = x; j-- } }
      for (i = 2; i <= n; i++) t = t " | " a[i]
      print q, status t
    }
    /^;; ->>HEADER/ { flush(); q = ""; data = ""; status = $6; next }
    /^;[^;]/ { q = tolower(substr($1, 2)) " " $NF; next }
    /^[^;]/ && NF > 3 { $1 = $1; data = data "\n" tolower($0) }
    END { flush() }'
}

note "building shoji"
(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji)

note "namespace and authoritative servers"
make_namespace 198.18.0.11 198.18.0.12 198.18.0.13 198.18.0.14 127.0.3.1 2001:db8:53::13
make_tree "$W"
for s in root tld leaf; do start "nsd-$s" nsd -d -c "$W/nsd-$s.conf"; done
wait_for 198.18.0.11 53 .
wait_for 198.18.0.12 53 aa
wait_for 198.18.0.13 53 z1.aa

note "the list, then shoji"
cat > "$W/shoji.yaml" <<CONF
state: $W/state
listen: {filtered: ["127.0.0.1:5300", "[::1]:5300"], unfiltered: ["127.0.0.1:5301", "[::1]:5301"]}
resolve: {root_hints: [{name: ns.root-e2e., addr: 198.18.0.11}], trust_anchors: []}
sinkhole: {ipv4: 192.0.2.53, ipv6: "2001:db8::53"}
CONF
printf 'c2.z1.aa\n*.botnet.z2.bb\n203.0.113.0/24\n' > "$W/threats.txt"
inside "$W/shoji" list import "$W/threats.txt" --source e2e --kind c2 --config "$W/shoji.yaml" > "$W/import.log" 2>&1 || { cat "$W/import.log"; exit 1; }
start shoji "$W/shoji" serve --config "$W/shoji.yaml"
wait_for 127.0.0.1 5300 h1.z1.aa
wait_for 127.0.0.1 5301 h1.z1.aa
unbound_conf 127.0.3.1 'module-config: "iterator" forward-zone: name: "." forward-addr: 127.0.0.1@5300' > "$W/forward.conf"
start unbound-forward unbound -d -c "$W/forward.conf"
unbound_conf 127.0.3.2 "module-config: \"iterator\" root-hints: \"$W/hints\"" > "$W/unbound.conf"
start unbound unbound -d -c "$W/unbound.conf"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=e2e -addext subjectAltName=DNS:dns.e2e \
  -keyout "$W/tls.key" -out "$W/tls.pem" 2> "$W/openssl.log"
unbound_conf 127.0.3.3@853 "interface: 127.0.3.3@443 tls-service-key: \"$W/tls.key\" tls-service-pem: \"$W/tls.pem\" tls-port: 853 https-port: 443
  module-config: \"iterator\" root-hints: \"$W/hints\"" | sed 's/ port: 53 / /' > "$W/unbound-tls.conf"
start unbound-tls unbound -d -c "$W/unbound-tls.conf"
forwarding() { # forwarding NAME PORT URL: a shoji that asks another resolver over an encrypted transport
  cat > "$W/$1.yaml" <<CONF
state: $W/$1
listen: {filtered: ["127.0.0.1:$2"], unfiltered: ["127.0.0.1:$(($2 + 1))"]}
forward: ["$3"]
forward_ca: $W/tls.pem
resolve: {trust_anchors: [], aggressive_nsec: false}
log: {listen: []}
CONF
  start "$1" "$W/shoji" serve --config "$W/$1.yaml"
  wait_for 127.0.0.1 "$2" h1.z1.aa
}
forwarding over-tls 5310 tls://127.0.3.3#dns.e2e
forwarding over-https 5320 https://127.0.3.3/dns-query#dns.e2e
wait_for 127.0.3.1 53 h1.z1.aa
wait_for 127.0.3.2 53 h1.z1.aa

. "$HERE/checks.sh"

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
