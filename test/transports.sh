#!/bin/bash
# transports.sh [-i]: encrypted DNS with the clients that people have.
#
# In a network namespace that it makes and removes, shoji serves its lab over TLS, HTTPS and
# QUIC. Over each, both views are asked by kdig, dig, curl and shoji itself; Unbound, Stubby, dnsdist and
# systemd-resolved forward to either over TLS, and verify who they talk to; Chromium loads a page whose name
# the lab alone resolves, over HTTPS in its secure mode; oblivious queries go through a second shoji. It is checked that each gets the
# answer of the view that it named, that replies have one length, and that a certificate which
# is replaced while shoji runs comes into force, and one that is broken does not. NSS encrypts the
# name that it asks for: by a key of now, by one that has gone, and pretending to.
#
# Needs root, and kdig, curl, unbound, stubby, dnsdist, tstclnt (NSS), openssl, dig, chromium, python3 with
# python3-cryptography, unshare and ip. What is
# missing is installed from Debian with -i (services are not started); else the script exits with 77. systemd-resolved
# is run from its package, which is fetched and not installed: installed it would take this machine's
# names over. Where that cannot be had it is left out, unless CI=true.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/.." && pwd)
. "$HERE/stage.sh"
need "${1:-}" kdig:knot-dnsutils curl:curl unbound:unbound stubby:stubby dnsdist:dnsdist openssl:openssl dig:bind9-dnsutils ip:iproute2 chromium:chromium python3:python3 unshare:util-linux tstclnt:libnss3-tools
if ! python3 -c 'import cryptography' 2>/dev/null; then
  [ "${1:-}" = -i ] || { echo "skipped: missing python3-cryptography (run with -i to install)" >&2; exit 77; }
  apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-cryptography
fi
FAILED=0 PASSED=0
pass() { PASSED=$((PASSED + 1)); echo "ok   $*"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL $*"; }
# fits TEXT PATTERN COMMAND...: the command's output does
fits() {
  local text=$1 pattern=$2 got; shift 2
  got=$(inside "$@" 2>&1) || true
  if grep -Eq -- "$pattern" <<< "$got"; then pass "$text"; else fail "$text: nothing like /$pattern/ in: $got"; fi
}
SINK=127.83.72.1 TRUE=192.0.2.66

certificate() { # a new self-signed one
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=dns.example \
    -addext subjectAltName=DNS:dns1.example,DNS:dns2.example,IP:127.0.0.1 -keyout "$W/new.key" -out "$W/new.pem" 2>/dev/null
  mv "$W/new.key" "$W/key.pem"; mv "$W/new.pem" "$W/cert.pem"
}
pin() { openssl x509 -in "$W/cert.pem" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64; }

note "shoji and its lab"
(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji)
make_namespace 127.0.0.3 127.0.0.4 127.0.0.5 "$SINK" "$TRUE"
certificate
cat > "$W/shoji.yaml" <<CONF
state: $W/state
listen: {filtered: ["127.0.0.1:5300"], unfiltered: ["127.0.0.1:5301"]}
encrypted:
  dot: ["127.0.0.1:853"]
  doh: ["127.0.0.1:443"]
  doq: ["127.0.0.1:853"]
  certificate: $W/cert.pem
  key: $W/key.pem
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
  oblivious: {target: true}
CONF
start shoji "$W/shoji" serve --lab --config "$W/shoji.yaml" --state "$W/state"
wait_for 127.0.0.1 5300 www.shop.test

note "kdig"
for view in "dns1.example /dns-query $SINK" "dns2.example /dns-fully $TRUE"; do
  read -r name path data <<< "$view"
  fits "kdig +tls, $name" "IN	A	$data\$" kdig @127.0.0.1 +tls-ca="$W/cert.pem" +tls-hostname="$name" c2.evil.test
  fits "kdig +tls, $name: the reply's length" "Received 468 B" kdig @127.0.0.1 +tls-ca="$W/cert.pem" +tls-hostname="$name" +padding c2.evil.test
  for method in +https +https-get; do
    fits "kdig $method, $path" "IN	A	$data\$" kdig @127.0.0.1 "+https=$path" $([ $method = +https ] || echo $method) +tls-ca="$W/cert.pem" +tls-hostname=dns1.example c2.evil.test
  done
  fits "kdig +https, $path: the reply's length" "Received 468 B" kdig @127.0.0.1 "+https=$path" +tls-ca="$W/cert.pem" +tls-hostname=dns1.example +padding c2.evil.test
done
fits "kdig +quic" "IN	A	$SINK\$" kdig @127.0.0.1 +quic c2.evil.test # with a name, kdig 3.2 breaks down
fits "kdig +quic: the reply's length" "Received 468 B" kdig @127.0.0.1 +quic +padding c2.evil.test
fits "kdig without trust" "WARNING|ERROR" kdig @127.0.0.1 +tls-ca +tls-hostname=dns1.example c2.evil.test

note "dig"
# dig 9.18 sends no server name: over TLS the view that answers is the one for who names none.
fits "dig +tls" "^$SINK\$" dig +short +tls +tls-ca="$W/cert.pem" +tls-hostname=dns1.example @127.0.0.1 c2.evil.test
for view in "/dns-query $SINK" "/dns-fully $TRUE"; do
  read -r path data <<< "$view"
  for method in https https-get; do
    fits "dig +$method, $path" "^$data\$" dig +short "+$method=$path" +tls-ca="$W/cert.pem" +tls-hostname=dns1.example @127.0.0.1 c2.evil.test
  done
done

note "curl"
fits "curl, filtered" "Trying $SINK" curl -sv --connect-timeout 1 --cacert "$W/cert.pem" --doh-url https://127.0.0.1/dns-query http://c2.evil.test:1/
fits "curl, unfiltered" "Trying $TRUE" curl -sv --connect-timeout 1 --cacert "$W/cert.pem" --doh-url https://127.0.0.1/dns-fully http://c2.evil.test:1/
fits "curl: headers" "max-age=[0-9]{10}" curl -sD - -o /dev/null --http2 --cacert "$W/cert.pem" "https://127.0.0.1/dns-query?dns=AAABAAABAAAAAAAAAmMyBGV2aWwEdGVzdAAAAQAB"

note "shoji query"
for server in tls://127.0.0.1#dns1.example https://127.0.0.1/dns-query h3://127.0.0.1/dns-query quic://127.0.0.1#dns1.example; do
  fits "shoji query, $server" "$SINK" "$W/shoji" query c2.evil.test --trust "$W/cert.pem" --server "$server"
done
for server in tls://127.0.0.1#dns2.example https://127.0.0.1/dns-fully h3://127.0.0.1/dns-fully quic://127.0.0.1#dns2.example; do
  fits "shoji query, $server" "$TRUE" "$W/shoji" query c2.evil.test --trust "$W/cert.pem" --server "$server"
done
fits "shoji query without trust" "failed to verify" "$W/shoji" query c2.evil.test --server tls://127.0.0.1#dns1.example

note "Encrypted Client Hello, with NSS (Firefox's TLS)"
ech=$(inside "$W/shoji" query _dns.dns2.example SVCB --server 127.0.0.1:5300 | sed -n 's/.* ech="\{0,1\}\([0-9A-Za-z+\/=]*\).*/\1/p' | head -1)
mkdir "$W/nss"; certutil -N -d "sql:$W/nss" --empty-password
# nss PORT OPTIONS...: what a query for c2.evil.test over TLS is answered, in hexadecimal, and what NSS says
nss() {
  local port=$1; shift
  { printf '\x00\x1e\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02c2\x04evil\x04test\x00\x00\x01\x00\x01'; sleep 1; } |
    timeout 10 tstclnt -o -h 127.0.0.1 -p "$port" -d "sql:$W/nss" -V tls1.3:tls1.3 "$@" 2>"$W/nss.err" | od -An -v -tx1 | tr -d ' \n'
  echo; cat "$W/nss.err"
}
nss_fits() { # TEXT PATTERN OPTIONS...
  local text=$1 pattern=$2 got; shift 2
  got=$(inside bash -c "W=$W; $(declare -f nss); nss 853 $*")
  if grep -Eq -- "$pattern" <<< "$got"; then pass "$text"; else fail "$text: nothing like /$pattern/ in: $got"; fi
}
nss_fits "NSS, dns1.example encrypted" 'c00c00010001........00047f534801$' -a dns1.example -N "$ech"
nss_fits "NSS, dns2.example encrypted" 'c00c00010001........0004c0000242$' -a dns2.example -N "$ech"
nss_fits "NSS, dns2.example and GREASE" 'c00c00010001........0004c0000242$' -a dns2.example -i 100
stale=${ech:0:20}$(tr '0-9A-Za-z' 'B-ZA0-9b-za' <<< "${ech:20:30}")${ech:50} # another public key
nss_fits "NSS, a key that has gone" SSL_ERROR_ECH_RETRY_WITH_ECH -a dns2.example -N "$stale"
nss_fits "NSS is told the one of now" "^${ech//+/[+]}\$" -a dns2.example -N "$stale"

note "oblivious DoH, by shoji and by a client that is not"
cat > "$W/proxy.yaml" <<CONF
listen: {filtered: ["127.0.0.1:5310"], unfiltered: []}
encrypted:
  doh: ["127.0.0.1:8443"]
  certificate: $W/cert.pem
  key: $W/key.pem
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
  oblivious: {proxy_for: ["https://127.0.0.1/dns-query#dns1.example", "https://127.0.0.1/dns-fully#dns1.example"], proxy_ca: $W/cert.pem}
log: {listen: []}
CONF
start proxy "$W/shoji" serve --lab --config "$W/proxy.yaml" --state "$W/proxy"
wait_for 127.0.0.1 5310 www.shop.test
for view in "filtered 0 $SINK" "unfiltered 1 $TRUE"; do
  read -r name octet data <<< "$view"
  fits "shoji query, oblivious, $name" "$data" "$W/shoji" query c2.evil.test --trust "$W/cert.pem" \
    --server "odoh://127.0.0.1/dns-query?view=$name#dns1.example via https://127.0.0.1:8443/proxy#dns1.example"
  fits "another client, $name" "^rcode 0 data $data\$" python3 "$HERE/oblivious.py" "$W/cert.pem" https://dns1.example/dns-query https://dns1.example:8443/proxy c2.evil.test "$octet"
done
fits "another client, by the path" "^rcode 0 data $TRUE\$" python3 "$HERE/oblivious.py" "$W/cert.pem" https://dns1.example/dns-fully https://dns1.example:8443/proxy c2.evil.test
fits "another client, elsewhere" "403" python3 "$HERE/oblivious.py" "$W/cert.pem" https://dns1.example/other https://dns1.example:8443/proxy c2.evil.test

note "forwarders over TLS"
for view in "127.0.0.3 dns1.example $SINK" "127.0.0.4 dns2.example $TRUE"; do
  read -r at name data <<< "$view"
  { unbound_conf "$at" "tls-cert-bundle: \"$W/cert.pem\" module-config: \"iterator\" local-zone: \"test.\" nodefault"
    echo "forward-zone: name: . forward-tls-upstream: yes forward-addr: 127.0.0.1@853#$name"; } > "$W/unbound-$name.conf"
  start "unbound-$name" unbound -d -p -c "$W/unbound-$name.conf"
  wait_for "$at" 53 www.shop.test
  fits "Unbound, $name" "^$data\$" dig +short "@$at" c2.evil.test
done
cat > "$W/stubby.yml" <<CONF
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list: [GETDNS_TRANSPORT_TLS]
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_query_padding_blocksize: 128
appdata_dir: "$W"
listen_addresses: [127.0.0.5@5353]
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_auth_name: "dns2.example"
    tls_pubkey_pinset: [{digest: "sha256", value: $(pin)}]
CONF
start stubby stubby -C "$W/stubby.yml"
wait_for 127.0.0.5 5353 www.shop.test
fits "Stubby, dns2.example" "^$TRUE\$" dig +short @127.0.0.5 -p 5353 c2.evil.test
cat > "$W/dnsdist.conf" <<CONF
setLocal("127.0.0.5:53")
newServer({address="127.0.0.1:853", tls="openssl", subjectName="dns1.example", caStore="$W/cert.pem", validateCertificates=true, healthCheckMode="up"})
CONF
start dnsdist dnsdist --supervised --disable-syslog -C "$W/dnsdist.conf"
wait_for 127.0.0.5 53 www.shop.test
fits "dnsdist, dns1.example" "^$SINK\$" dig +short @127.0.0.5 c2.evil.test

note "systemd-resolved"
resolved=$(command -v /lib/systemd/systemd-resolved || true)
if [ -z "$resolved" ]; then
  mkdir "$W/resolved"
  (cd "$W/resolved" && apt-get download -qq systemd-resolved >/dev/null 2>&1 && dpkg-deb -x systemd-resolved_*.deb .) || true
  resolved=$W/resolved/lib/systemd/systemd-resolved
fi
if [ -x "$resolved" ]; then
  { cat /etc/passwd; getent passwd systemd-resolve >/dev/null || echo "systemd-resolve:x:0:0::/:/usr/sbin/nologin"; } > "$W/passwd"
  # It asks nobody while there is nothing but the loopback interface.
  inside ip link add out type veth peer name in; inside ip addr add 198.51.100.1/24 dev out
  inside ip link set out up; inside ip link set in up
  touch "$W/resolved.conf"; chmod 755 "$W"; chmod 644 "$W/cert.pem" "$W/passwd" "$W/resolved.conf"
  for view in "dns1.example $SINK" "dns2.example $TRUE"; do
    read -r name data <<< "$view"
    printf '%s\n' '[Resolve]' "DNS=127.0.0.1#$name" DNSOverTLS=yes DNSSEC=no LLMNR=no MulticastDNS=no Domains=~. ReadEtcHosts=no > "$W/resolved.conf"
    # its files, in places that it alone sees
    start "resolved-$name" unshare -m sh -c "mount -t tmpfs none /run && mkdir -p /run/systemd/resolve /run/systemd/resolved.conf.d &&
      cp '$W/resolved.conf' /run/systemd/resolved.conf.d/shoji.conf && mount --bind '$W/passwd' /etc/passwd &&
      exec env SSL_CERT_FILE='$W/cert.pem' '$resolved'"
    wait_for 127.0.0.53 53 www.shop.test
    fits "systemd-resolved, $name" "^$data\$" dig +short @127.0.0.53 c2.evil.test
    kill "${PIDS[-1]}"; wait "${PIDS[-1]}" 2>/dev/null || true
  done
elif [ "${CI:-}" = true ]; then fail "systemd-resolved cannot be had"; else note "systemd-resolved cannot be had: left out"; fi

note "Chromium"
for at in "$SINK" "$TRUE"; do
  mkdir "$W/page-$at"; echo "<title>page</title><p>this is $at</p>" > "$W/page-$at/index.html"
  start "page-$at" python3 -m http.server 80 --bind "$at" --directory "$W/page-$at"
done
chromium() { # PATH: what Chromium shows of a listed name's page, its names resolved over HTTPS alone
  mkdir -p "$W/chromium-$1"
  echo "{\"dns_over_https\":{\"mode\":\"secure\",\"templates\":\"https://127.0.0.1/$1{?dns}\"}}" > "$W/chromium-$1/Local State"
  timeout 90 ip netns exec "$NS" "$CHROMIUM" --headless --no-sandbox --disable-gpu --user-data-dir="$W/chromium-$1" \
    --ignore-certificate-errors-spki-list="$(pin)" --disable-features=HttpsUpgrades,HttpsFirstBalancedMode --dump-dom "http://c2.evil.test/" 2>"$W/chromium-$1.log"
}
CHROMIUM=$(type -P chromium)
for view in "dns-query $SINK" "dns-fully $TRUE"; do
  read -r path data <<< "$view"
  got=$(chromium "$path") || true
  if grep -q "this is $data<" <<< "$got"; then pass "Chromium, /$path"; else fail "Chromium, /$path: $got"; fi
done
got=$(chromium no-such-path) || true
if grep -q "this is" <<< "$got"; then fail "Chromium resolves by another way too: $got"; else pass "Chromium, without a resolver"; fi

note "a certificate is replaced"
old=$(pin); certificate; new=$(pin)
for i in $(seq 100); do
  inside "$W/shoji" query c2.evil.test --pin "sha256/$new" --server tls://127.0.0.1 > /dev/null 2>&1 && break
  sleep 0.2
done
fits "the new one is in force" "$SINK" "$W/shoji" query c2.evil.test --pin "sha256/$new" --server tls://127.0.0.1
fits "and the old one is not" "not the one that is trusted" "$W/shoji" query c2.evil.test --pin "sha256/$old" --server tls://127.0.0.1
echo garbage > "$W/cert.pem"
for i in $(seq 100); do grep -q "cannot be used" "$W/shoji.log" && break; sleep 0.2; done
fits "a broken one is told of" "cannot be used" cat "$W/shoji.log"
fits "and the one before stays" "$SINK" "$W/shoji" query c2.evil.test --pin "sha256/$new" --server https://127.0.0.1/dns-query

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" -eq 0 ]
