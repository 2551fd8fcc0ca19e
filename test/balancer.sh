#!/bin/bash
# balancer.sh [-i]: dnsdist and HAProxy before shoji, saying whom they speak for by PROXY protocol v2.
#
# In a network namespace that it makes and removes, shoji serves its lab to one client's address and to no other, behind
# four dnsdist that reach it over UDP, TCP, TLS and HTTPS, and an HAProxy that passes TLS on unopened. It is checked that each client is answered as itself: the one that is
# allowed, the one that is not, and the one that asks too much; and that a balancer without a header is not answered,
# nor a client with one.
#
# Needs root, and dnsdist, HAProxy, openssl, dig, kdig, python3 and ip. What is missing is installed from Debian with -i (services are not
# started); else the script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/.." && pwd)
. "$HERE/stage.sh"
need "${1:-}" dnsdist:dnsdist haproxy:haproxy kdig:knot-dnsutils openssl:openssl dig:bind9-dnsutils python3:python3 ip:iproute2
FAILED=0 PASSED=0
pass() { PASSED=$((PASSED + 1)); echo "ok   $*"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL $*"; }
# fits TEXT PATTERN COMMAND...: the command's output does
fits() {
  local text=$1 pattern=$2 got; shift 2
  got=$(inside "$@" 2>&1) || true
  if grep -Eq -- "$pattern" <<< "$got"; then pass "$text"; else fail "$text: nothing like /$pattern/ in: $got"; fi
}
SINK=127.83.72.1 ALLOWED=192.0.2.9 OTHER=192.0.2.10 SECOND=203.0.113.11

note "shoji and its lab"
(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji)
make_namespace $ALLOWED $OTHER $SECOND 198.51.100.1 198.51.100.11 198.51.100.12 198.51.100.13 198.51.100.14 198.51.100.15
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=dns.example \
  -addext subjectAltName=DNS:dns1.example,DNS:dns2.example -keyout "$W/key.pem" -out "$W/cert.pem" 2>/dev/null
cat > "$W/shoji.yaml" <<CONF
listen:
  filtered: ["198.51.100.1:53"]
  unfiltered: []
  allow: [$ALLOWED/32, $SECOND/32]
  balancers: [198.51.100.8/29]
  rate_limit: 10
encrypted:
  dot: ["198.51.100.1:853"]
  doh: ["198.51.100.1:443"]
  certificate: $W/cert.pem
  key: $W/key.pem
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
log: {listen: []}
CONF
start shoji "$W/shoji" serve --lab --config "$W/shoji.yaml" --state "$W/state"

note "dnsdist, four times"
balancer() { # balancer NAME ADDRESS SERVER...
  cat > "$W/$1.conf" <<CONF
setLocal("$2:53")
setACL({"0.0.0.0/0"})
newServer({address="198.51.100.1:$3", source="$2", useProxyProtocol=true, ${4:-} mustResolve=true, checkName="www.shop.test.", checkInterval=1})
CONF
  start "$1" dnsdist --supervised --disable-syslog -C "$W/$1.conf"
}
tls="tls=\"openssl\", caStore=\"$W/cert.pem\", validateCertificates=true, subjectName=\"dns1.example\","
balancer UDP 198.51.100.11 53
balancer TCP 198.51.100.12 53 "tcpOnly=true,"
balancer TLS 198.51.100.13 853 "$tls"
balancer HTTPS 198.51.100.14 443 "$tls dohPath=\"/dns-query\","
for at in 11 12 13 14; do # until it is answered, which takes a health check of the balancer's own (LOCAL)
  for i in $(seq 100); do
    inside dig +short +tries=1 +time=1 -b $ALLOWED @198.51.100.$at c2.evil.test 2>/dev/null | grep -q "^$SINK\$" && break
    sleep 0.2
  done
done

for way in "UDP 11" "TCP 12" "TLS 13" "HTTPS 14"; do
  read -r name at <<< "$way"
  for over in +notcp +tcp; do
    fits "$name, $over: the allowed client" "^$SINK\$" dig +short "$over" +tries=1 +time=2 -b $ALLOWED @198.51.100.$at c2.evil.test
    fits "$name, $over: the other one" "REFUSED|SERVFAIL|no servers|timed out|end of file|communications error" dig "$over" +tries=1 +time=2 -b $OTHER @198.51.100.$at c2.evil.test
  done
done
fits "UDP: the other one is told why" "REFUSED" dig +tries=1 +time=2 -b $OTHER @198.51.100.11 c2.evil.test

note "HAProxy, which does not open TLS"
cat > "$W/haproxy.cfg" <<CONF
defaults
  mode tcp
  timeout connect 2s
  timeout client 10s
  timeout server 10s
listen tls
  bind 198.51.100.15:853
  server shoji 198.51.100.1:853 send-proxy-v2 source 198.51.100.15
listen https
  bind 198.51.100.15:443
  server shoji 198.51.100.1:443 send-proxy-v2 source 198.51.100.15
CONF
start haproxy haproxy -db -f "$W/haproxy.cfg"
ask=(kdig +short +retry=0 +timeout=2 +tls-ca="$W/cert.pem" +tls-hostname=dns1.example @198.51.100.15 c2.evil.test)
for i in $(seq 100); do # until it listens
  inside "${ask[@]}" +tls -b $ALLOWED 2>/dev/null | grep -q "^$SINK\$" && break
  sleep 0.2
done
for over in +tls +https=/dns-query; do
  fits "HAProxy, $over: the allowed client" "^$SINK\$" "${ask[@]}" $over -b $ALLOWED
  fits "HAProxy, $over: the other one" "failed|closed|error|WARNING" "${ask[@]}" $over -b $OTHER
done

note "without a header, and with one that nobody may send"
fits "a balancer without a header, UDP" "timed out" dig +tries=1 +time=1 -b 198.51.100.11 @198.51.100.1 c2.evil.test
fits "a balancer without a header, TCP" "timed out|end of file|reset|communications error" dig +tcp +tries=1 +time=5 -b 198.51.100.11 @198.51.100.1 c2.evil.test
fits "a client by itself" "^$SINK\$" dig +short +tries=1 +time=2 -b $ALLOWED @198.51.100.1 c2.evil.test
cat > "$W/claim.py" <<'PY'
# A client that may ask claims to be a balancer's client: over UDP and TCP.
import socket, struct, sys
header = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11\0\x0c" + socket.inet_aton("192.0.2.9") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 1234, 53)
query = b"\0\7\1\0\0\1\0\0\0\0\0\0\2c2\4evil\4test\0\0\1\0\1"
for kind, first in ((socket.SOCK_DGRAM, b""), (socket.SOCK_STREAM, struct.pack("!H", len(query)))):
    for claim in (b"", header):
        s = socket.socket(socket.AF_INET, kind)
        s.settimeout(2)
        s.bind((sys.argv[1], 0))
        s.connect(("198.51.100.1", 53))
        s.send(claim + first + query)
        try:
            got = len(s.recv(1000)) > 0
        except OSError:
            got = False
        print("answered" if got else "nothing", end=" ")
PY
fits "a client with a header" "^answered nothing answered nothing $" python3 "$W/claim.py" $ALLOWED

note "a rate is a client's, not the balancer's"
cat > "$W/burst.py" <<'PY'
# 100 queries at once by one client: how many are answered.
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.connect(("198.51.100.11", 53))
for i in range(100):
    s.send(bytes((0, i)) + b"\1\0\0\1\0\0\0\0\0\0\2c2\4evil\4test\0\0\1\0\1")
s.settimeout(2)
n = 0
try:
    while True:
        n += s.recv(1000)[7] > 0
except OSError:
    print("some" if 1 <= n <= 60 else n)
PY
fits "of 100 queries at once, some are answered" "^some$" python3 "$W/burst.py" $ALLOWED
fits "another client meanwhile" "^$SINK\$" dig +short +notcp +tries=1 +time=2 -b $SECOND @198.51.100.11 c2.evil.test

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" -eq 0 ]
