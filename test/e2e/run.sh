#!/bin/bash
# run.sh: shoji against real servers, as its users meet them.
#
# In a network namespace that it makes and removes, NSD serves a tree of zones
# (root, two TLDs, 40 leaf zones) on loopback addresses. shoji resolves it from
# the root, filtered and unfiltered; dig and kdig ask both views; Unbound
# forwards to shoji as a real client; and for a thousand questions shoji's
# answers are compared with Unbound's own: equal up to TTL and order.
#
# Needs root, and nsd, unbound, dig, kdig and ip. What is missing is installed
# from Debian with -i (services are not started); else the script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/../.." && pwd)
W=$(mktemp -d); NS=shoji-e2e-$$; PIDS=() FAILED=0 PASSED=0
cleanup() {
  local p; for p in "${PIDS[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "$NS" 2>/dev/null || true
  if [ -n "${KEEP:-}" ]; then echo "kept: $W" >&2; else rm -rf "$W"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM
note() { echo "-- $*"; }
pass() { PASSED=$((PASSED + 1)); echo "ok   $*"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL $*"; }
inside() { ip netns exec "$NS" "$@"; }

need() {
  local miss=() pair
  for pair in nsd:nsd unbound:unbound dig:bind9-dnsutils kdig:knot-dnsutils ip:iproute2; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || miss+=("${pair##*:}")
  done
  [ ${#miss[@]} -eq 0 ] && return
  if [ "${1:-}" != -i ]; then echo "skipped: missing ${miss[*]} (run with -i to install)" >&2; exit 77; fi
  [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${miss[@]}"
}
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || { echo "skipped: needs root for a network namespace" >&2; exit 77; }
need "${1:-}"
. "$HERE/tree.sh"

start() { # start NAME COMMAND...: in the namespace, logged to $W/NAME.log
  local name=$1; shift
  ip netns exec "$NS" "$@" > "$W/$name.log" 2>&1 & PIDS+=($!) # the command itself: ip execs it
}
ask() { inside dig +tries=1 +time=5 +noall +answer +comments +nottlid "$@"; }
wait_for() { # wait_for SERVER PORT NAME: until any reply comes, 20 s at most
  local i; for i in $(seq 100); do
    inside dig +tries=1 +time=1 "@$1" -p "$2" "$3" A >/dev/null 2>&1 && return
    sleep 0.2
  done
  echo "no answer from $1 port $2" >&2; tail -n 20 "$W"/*.log >&2; exit 1
}
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
ip netns add "$NS"
inside ip link set lo up
for a in 198.18.0.11 198.18.0.12 198.18.0.13 198.18.0.14 127.0.3.1; do inside ip addr add "$a/32" dev lo 2>/dev/null || true; done
inside ip -6 addr add 2001:db8:53::13/128 dev lo
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
unbound_conf() { # ADDRESS REST: a small Unbound without validation
  echo "server: interface: $1 port: 53 directory: \"$W\" chroot: \"\" username: \"\" pidfile: \"\" do-daemonize: no use-syslog: no"
  echo "do-not-query-localhost: no module-config: \"iterator\" access-control: 127.0.0.0/8 allow $2"
}
unbound_conf 127.0.3.1 'forward-zone: name: "." forward-addr: 127.0.0.1@5300' > "$W/forward.conf"
start unbound-forward unbound -d -c "$W/forward.conf"
unbound_conf 127.0.3.2 "root-hints: \"$W/hints\"" > "$W/unbound.conf"
start unbound unbound -d -c "$W/unbound.conf"
wait_for 127.0.3.1 53 h1.z1.aa
wait_for 127.0.3.2 53 h1.z1.aa

. "$HERE/checks.sh"

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
