#!/bin/bash
# rpz.sh [-i]: the list in the resolvers that people already run.
#
# In a network namespace that it makes and removes, shoji serves its lab and the list as a
# response-policy zone. BIND (signed transfer, NOTIFY), Unbound and PowerDNS Recursor
# transfer the zone, Knot Resolver reads it from a file. Each forwards to shoji's
# unfiltered twin, so that what it blocks it blocks by the zone. It is checked that each
# blocks what shoji blocks and nothing else, and that names which are listed or delisted
# afterwards reach each of them by a difference (IXFR) and not by the whole zone. The other
# way round a second shoji has BIND's copy of the zone as a source, with a vendor's own zone
# on BIND before it, and heeds what the vendor lets pass.
#
# Needs root, and named, unbound, pdns_recursor, kresd, dig and ip. What is missing is
# installed from Debian with -i (services are not started); else the script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/.." && pwd)
. "$HERE/stage.sh"
need "${1:-}" named:bind9 unbound:unbound pdns_recursor:pdns-recursor kresd:knot-resolver dig:bind9-dnsutils ip:iproute2
FAILED=0 PASSED=0
pass() { PASSED=$((PASSED + 1)); echo "ok   $*"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL $*"; }
BIND=127.0.0.2 UNBOUND=127.0.0.3 PDNS=127.0.0.4 KNOT=127.0.0.5 KNOT2=127.0.0.6
SECRET=$(head -c 32 /dev/urandom | base64)

# says SERVER NAME TYPE: the reply in one line, its code and its data
says() {
  inside dig +tries=1 +time=5 +noall +comments +answer "@$1" "$2" "$3" | awk '
    /HEADER/ { code = $6 } /^[^;]/ && NF > 3 { data = data " " $4 " " $5 } END { print code data }'
}
# becomes TEXT PATTERN SERVER NAME TYPE: the reply fits, within 20 seconds
becomes() {
  local text=$1 pattern=$2 got i; shift 2
  for i in $(seq 100); do
    got=$(says "$@")
    if grep -Eq -- "$pattern" <<< "$got"; then pass "$text"; return; fi
    sleep 0.2
  done
  fail "$text: $* is answered \"$got\", nothing like /$pattern/"
}
# sent KIND KEY: how many transfers shoji has made
sent() { grep -c "policy zone: transferred.*kind=$1 .*key=$2\$" "$W/shoji.log" || true; }

note "shoji, its lab and its policy zone"
(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji)
make_namespace "$BIND" # BIND listens on addresses that an interface has
cat > "$W/shoji.yaml" <<CONF
state: $W/state
listen: {filtered: ["127.0.0.1:5300"], unfiltered: ["127.0.0.1:5301"]}
sinkhole: {ipv4: 192.0.2.53, ipv6: "2001:db8::53", ttl: 1s}
transfer:
  listen: ["127.0.0.1:5355"]
  zone: rpz.test
  keys: [{name: bind.test, algorithm: hmac-sha512, secret: "$SECRET"}, {name: pdns.test, secret: "$SECRET"}]
  allow: [{from: 127.0.0.0/8}]
  notify: [{to: $BIND, key: bind.test}, {to: $UNBOUND}]
CONF
start shoji "$W/shoji" serve --lab --config "$W/shoji.yaml" --state "$W/state"
wait_for 127.0.0.1 5301 www.shop.test
wait_for 127.0.0.1 5300 www.shop.test

note "resolvers"
mkdir -p "$W/bind" "$W/pdns" "$W/knot" "$W/knot2"
cat > "$W/bind/named.conf" <<CONF
options { directory "$W/bind"; pid-file none; session-keyfile none; listen-on { $BIND; }; listen-on-v6 { none; };
  recursion yes; allow-query { any; }; dnssec-validation no; empty-zones-enable no; forward only; forwarders { 127.0.0.1 port 5301; };
  response-policy { zone "rpz.test"; } qname-wait-recurse no min-update-interval 1; };
controls { };
key bind.test { algorithm hmac-sha512; secret "$SECRET"; };
zone rpz.test { type secondary; file "rpz.test"; masterfile-format text; primaries { 127.0.0.1 port 5355 key bind.test; }; allow-notify { key bind.test; }; allow-transfer { key bind.test; }; };
zone vendor.test { type primary; file "vendor.test"; masterfile-format text; allow-transfer { key bind.test; }; allow-update { key bind.test; }; };
CONF
cat > "$W/bind/vendor.test" <<ZONE
\$TTL 60
@ SOA localhost. nobody.invalid. 1 60 60 600 60
@ NS localhost.
c2.evil.test CNAME .
other.test CNAME .
exact.evil.test CNAME rpz-passthru.
32.1.2.0.192.rpz-client-ip CNAME .
ZONE
start bind named -g -d 3 -n 1 -c "$W/bind/named.conf"
unbound_conf "$UNBOUND" 'local-zone: test. nodefault module-config: "respip iterator"
forward-zone: name: "." forward-addr: 127.0.0.1@5301
rpz: name: rpz.test primary: 127.0.0.1@5355 allow-notify: 127.0.0.1 rpz-log: yes' > "$W/unbound.conf"
start unbound unbound -d -c "$W/unbound.conf"
cat > "$W/pdns/recursor.conf" <<CONF
local-address=$PDNS
local-port=53
daemon=no
socket-dir=$W/pdns
forward-zones-recurse=.=127.0.0.1:5301
dont-query=
dnssec=off
security-poll-suffix=
packetcache-ttl=1
lua-config-file=$W/pdns/rpz.lua
threads=1
CONF
echo "rpzPrimary('127.0.0.1:5355', 'rpz.test', {refresh=1, tsigname='pdns.test', tsigalgo='hmac-sha256', tsigsecret='$SECRET'})" > "$W/pdns/rpz.lua"
start pdns pdns_recursor --config-dir="$W/pdns"
knot() { # ADDRESS FOLDER FLAVOUR: one with the zone as a file
  inside "$W/shoji" list export --rpz --flavour "$3" --config "$W/shoji.yaml" > "$2/rpz.zone"
  cat > "$2/kresd.conf" <<CONF
modules.unload('priming'); modules.unload('ta_update'); modules.unload('ta_signal_query'); modules.unload('detect_time_skew'); modules.unload('detect_time_jump')
net.listen('$1', 53, { kind = 'dns' })
cache.open(10 * MB, 'lmdb://$2/cache')
trust_anchors.remove('.')
policy.add(policy.rpz(policy.DENY, '$2/rpz.zone', false))
policy.add(policy.all(policy.STUB('127.0.0.1@5301')))
CONF
  start "$(basename "$2")" kresd -n -c "$2/kresd.conf" "$2"
}
knot "$KNOT" "$W/knot" nxdomain
knot "$KNOT2" "$W/knot2" sinkhole
for at in "$BIND" "$UNBOUND" "$PDNS" "$KNOT" "$KNOT2"; do wait_for "$at" 53 www.shop.test; done

note "each blocks what shoji blocks, and nothing else"
for who in "BIND $BIND" "Unbound $UNBOUND" "PowerDNS $PDNS"; do
  at=${who#* } who=${who% *}
  becomes "$who: a listed name leads to the sinkhole" '^NOERROR, A 192\.0\.2\.53$' "$at" c2.evil.test A
  becomes "$who: so does its AAAA" '^NOERROR, AAAA 2001:db8::53$' "$at" c2.evil.test AAAA
  becomes "$who: its other types are no data" '^NOERROR,$' "$at" c2.evil.test TXT
  becomes "$who: a name below a listed one" ' A 192\.0\.2\.53$' "$at" any.thing.c2.evil.test A
  becomes "$who: a name that is listed alone" ' A 192\.0\.2\.53$' "$at" exact.evil.test A
  becomes "$who: the name below it is answered" ' A 192\.0\.2\.69$' "$at" sub.exact.evil.test A
  becomes "$who: an alias of a listed name" ' A 192\.0\.2\.53$' "$at" cdn.shop.test A
  becomes "$who: an address in a listed prefix" ' A 192\.0\.2\.53$' "$at" far.shop.test A
  becomes "$who: an IPv6 address in a listed prefix" ' AAAA 2001:db8::53$' "$at" far.shop.test AAAA
  becomes "$who: an unlisted name is answered" ' A 192\.0\.2\.10$' "$at" www.shop.test A
done
for who in "Knot-file $KNOT ^NXDOMAIN," "Knot-file-sinkhole $KNOT2 A.192\.0\.2\.53\$"; do
  read -r who at blocked <<< "$who"
  becomes "$who: a listed name" "$blocked" "$at" c2.evil.test A
  becomes "$who: a name below a listed one" "$blocked" "$at" any.thing.c2.evil.test A
  becomes "$who: a name that is listed alone" "$blocked" "$at" exact.evil.test A
  becomes "$who: the name below it is answered" ' A 192\.0\.2\.69$' "$at" sub.exact.evil.test A
  becomes "$who: an unlisted name is answered" ' A 192\.0\.2\.10$' "$at" www.shop.test A
done

note "another shoji, which has BIND's zones as its sources"
cat > "$W/reader.yaml" <<CONF
state: $W/reader
listen: {filtered: ["127.0.0.1:5302"], unfiltered: ["127.0.0.1:5303"]}
log: {listen: []}
transfer: {keys: [{name: bind.test, algorithm: hmac-sha512, secret: "$SECRET"}]}
sources:
  - {id: vendor, location: "axfr://bind.test@$BIND/vendor.test", kinds: [c2], interval: 1m}
  - {id: ours, location: "axfr://bind.test@$BIND/rpz.test", kinds: [c2], interval: 1m}
  - {id: plain, location: $W/plain.txt, kinds: [c2]}
CONF
printf 'exact.evil.test\nc2.evil.test\nother.test\n' > "$W/plain.txt"
inside "$W/shoji" list update --config "$W/reader.yaml" > "$W/reader.txt" 2>&1 || fail "list update: $(cat "$W/reader.txt")"
expect() { if grep -Eq -- "$2" "$3"; then pass "$1"; else fail "$1: nothing like /$2/ in: $(cat "$3")"; fi; }
expect "a name of two zones is listed" '\+ c2\.evil\.test by clause c2-two-sources' "$W/reader.txt"
expect "a name of one zone and a list is listed" '\+ other\.test by clause c2-two-sources' "$W/reader.txt"
expect "what the first zone lets pass, the second does not accuse" 'an earlier policy zone lets pass: 1$' "$W/reader.txt"
expect "a trigger that is not taken is counted" 'skipped 1: a trigger on clients or name servers' "$W/reader.txt"
expect "and named" 'triggers not taken: 32\.1\.2\.0\.192\.rpz-client-ip' "$W/reader.txt"

note "a listing and a delisting reach each by a difference"
whole=$(sent whole '[a-z.]*')
echo www.shop.test > "$W/more.txt"
inside "$W/shoji" list import "$W/more.txt" --source test --kind c2 --config "$W/shoji.yaml" > "$W/import.log" 2>&1 || fail "list import: $(cat "$W/import.log")"
for who in "BIND $BIND" "Unbound $UNBOUND" "PowerDNS $PDNS"; do
  becomes "${who% *}: a name that was listed now" ' A 192\.0\.2\.53$' "${who#* }" www.shop.test A
done
inside "$W/shoji" list remove c2.evil.test --reason test --config "$W/shoji.yaml" > "$W/remove.log" 2>&1 || fail "list remove: $(cat "$W/remove.log")"
for who in "BIND $BIND" "Unbound $UNBOUND" "PowerDNS $PDNS"; do
  becomes "${who% *}: a name that was delisted now" ' A 192\.0\.2\.66$' "${who#* }" c2.evil.test A
  becomes "${who% *}: and what leads to it" ' A 192\.0\.2\.66$' "${who#* }" cdn.shop.test A
done
for key in bind.test. pdns.test. '""'; do
  if [ "$(sent difference "$key")" -ge 2 ]; then pass "differences signed with $key"; else fail "$(sent difference "$key") differences signed with $key"; fi
done
if [ "$(sent whole '[a-z.]*')" = "$whole" ]; then pass "nobody needed the whole zone again"; else fail "$(sent whole '[a-z.]*') whole transfers after $whole"; fi

note "shoji is started anew: its journal comes from the log"
kill "${PIDS[0]}"; wait "${PIDS[0]}" || true
cp "$W/shoji.log" "$W/shoji-first.log"
start shoji "$W/shoji" serve --lab --config "$W/shoji.yaml" --state "$W/state"
wait_for 127.0.0.1 5300 www.shop.test
inside "$W/shoji" list remove www.shop.test --reason test --config "$W/shoji.yaml" > "$W/remove.log" 2>&1 || fail "list remove: $(cat "$W/remove.log")"
for who in "BIND $BIND" "Unbound $UNBOUND" "PowerDNS $PDNS"; do
  becomes "${who% *}: a name that was delisted now" ' A 192\.0\.2\.10$' "${who#* }" www.shop.test A
done
if [ "$(sent whole '[a-z.]*')" = 0 ]; then pass "nobody needed the whole zone again"; else fail "$(sent whole '[a-z.]*') whole transfers"; fi

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
