#!/bin/bash
# node.sh [-i]: nodes that follow an operator's log which lies on a foreign web server.
#
# In a network namespace that it makes and removes, an operator's shoji keeps a log, nginx serves
# its folders, and two nodes follow it: one fetches the compiled lists over HTTPS, the other one
# finds none and builds them. What is listed and delisted reaches both. The web server fails and comes
# back; a node is killed with SIGKILL again and again while lists change; then the server shows
# an old log, and another one by the same key (that of an operator who went on from a backup), and
# at last the right one again. dig asks for structured errors. A third node follows this log and another
# operator's: while the one forks, the other's new listings come, and the forked one's last ones stay.
#
# Needs root, and nginx, dig, curl, openssl and ip. What is missing is installed from Debian with -i
# (services are not started); else the script exits with 77.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); ROOT=$(cd "$HERE/.." && pwd)
. "$HERE/stage.sh"
need "${1:-}" nginx:nginx-light dig:bind9-dnsutils curl:curl ip:iproute2 openssl:openssl
FAILED=0 PASSED=0
pass() { PASSED=$((PASSED + 1)); echo "ok   $*"; }
fail() { FAILED=$((FAILED + 1)); echo "FAIL $*"; }
shoji() { inside "$W/shoji" "$@"; }
asks() { inside dig +tries=1 +time=2 @127.0.0.1 -p "$@" 2>/dev/null; }
address() { asks "$1" +short "$2" A | tail -1; } # PORT NAME
# becomes TEXT PATTERN COMMAND...: what it prints fits, within 30 seconds
becomes() {
  local text=$1 pattern=$2 got i; shift 2
  for i in $(seq 150); do
    got=$("$@" || true)
    if grep -Eq -- "$pattern" <<< "$got"; then pass "$text"; return; fi
    sleep 0.2
  done
  fail "$text: \"$got\" is nothing like /$pattern/"
}
status() { asks "$1" CH TXT status.shoji; }
lists() { local state=$1; shift; printf '%s\n' "$@" | shoji list import - --source test --kind c2 --state "$state" > /dev/null; }
SINK=127.83.72.1

(cd "$ROOT" && go build -o "$W/shoji" ./cmd/shoji)
make_namespace
chmod 755 "$W"

note "the operator, and nginx with his folders"
cat > "$W/op.yaml" <<CONF
listen: {filtered: ["127.0.0.1:5300"], unfiltered: ["127.0.0.1:5301"]}
log: {listen: []}
information: {contact: ["mailto:desk@isp.example"], organisation: ISP}
CONF
start operator "$W/shoji" serve --lab --config "$W/op.yaml" --state "$W/op"
wait_for 127.0.0.1 5300 c2.evil.test
shows() { ln -sfn "$W/$1" "$W/.shown" && mv -T "$W/.shown" "$W/shown"; } # whose folders are shown
shows op
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=log.test -addext subjectAltName=IP:127.0.0.1 \
  -keyout "$W/tls.key" -out "$W/tls.pem" 2> /dev/null
cat > "$W/nginx.conf" <<CONF
daemon off; pid $W/nginx.pid; error_log $W/nginx.err; worker_processes 1; user root;
events {}
http {
  access_log off; client_body_temp_path $W; proxy_temp_path $W; fastcgi_temp_path $W; uwsgi_temp_path $W; scgi_temp_path $W;
  server { listen 127.0.0.1:8080 ssl; ssl_certificate $W/tls.pem; ssl_certificate_key $W/tls.key; root $W/shown/log; location /list/ { alias $W/shown/list/; } }
  server { listen 127.0.0.1:8081; root $W/shown/log; }
  server { listen 127.0.0.1:8082; root $W/other/log; location /list/ { alias $W/other/list/; } }
}
CONF
start nginx nginx -c "$W/nginx.conf"; NGINX=${PIDS[-1]}
KEY=$(shoji log key --state "$W/op")
for n in 1 2; do
  log=https://127.0.0.1:8080/; [ "$n" = 1 ] || log=http://127.0.0.1:8081/
  cat > "$W/node$n.yaml" <<CONF
listen: {filtered: ["127.0.0.1:53${n}0"], unfiltered: ["127.0.0.1:53${n}1"]}
follow: [{log: "$log", key: "$KEY", every: 1s}]
metrics: {listen: ["127.0.0.1:93${n}0"]}
information: {contact: ["mailto:desk@isp.example"], organisation: ISP}
CONF
done
node() { start "node$1" env "SSL_CERT_FILE=$W/tls.pem" "$W/shoji" serve --lab --config "$W/node$1.yaml" --state "$W/state$1"; NODE=${PIDS[-1]}; }
lists "$W/other" www.bank.test # another operator
OTHER=$(shoji log key --state "$W/other")
cat > "$W/node3.yaml" <<CONF
listen: {filtered: ["127.0.0.1:5330"], unfiltered: ["127.0.0.1:5331"]}
follow: [{log: "http://127.0.0.1:8081/", key: "$KEY", every: 1s}, {log: "http://127.0.0.1:8082/", key: "$OTHER", every: 1s}]
metrics: {listen: ["127.0.0.1:9330"]}
CONF
node 3
node 2
node 1

note "what the operator lists and delists"
for n in 1 2; do becomes "node $n filters what the operator filters" "^$SINK\$" address "53${n}0" c2.evil.test; done
becomes "and nothing else" '^192.0.2.10$' address 5310 www.shop.test
becomes "the unfiltered twin filters nothing" '^192.0.2.66$' address 5311 c2.evil.test
lists "$W/op" www.shop.test
for n in 1 2; do becomes "node $n filters what is listed now" "^$SINK\$" address "53${n}0" www.shop.test; done
shoji list remove www.shop.test --reason test --state "$W/op" > /dev/null
for n in 1 2; do becomes "node $n resolves what is delisted" '^192.0.2.10$' address "53${n}0" www.shop.test; done
becomes "node 2 found no lists and built them" 'built from the log' cat "$W/node2.log"
if grep -q 'built from the log' "$W/node1.log"; then fail "node 1 did not fetch its first list"; else pass "node 1 fetched its first list"; fi
same() { for n in 1 2; do shoji list status --config "$W/node$n.yaml" --state "$W/state$n"; done | sed -n 's/^digest *//p' | sort -u | wc -l; }
becomes "both have the same list" '^1$' same

note "two logs"
first=$(cut -d+ -f1,2 <<< "$KEY") second=$(cut -d+ -f1,2 <<< "$OTHER") # both have the name that a log has by default
becomes "what the first log lists is filtered, and the answer says so" "log entry [0-9]+ of ${first/+/\\+}\\)" asks 5330 c2.evil.test A
becomes "what the second lists, too" "log entry [0-9]+ of ${second/+/\\+}\\)" asks 5330 www.bank.test A
becomes "and nothing else" '^192.0.2.10$' address 5330 www.shop.test

note "structured errors, asked for by dig"
becomes "no address, EDE 15, contact and cause" 'EDE: 15 \(Blocked\).*"c":\["mailto:desk@isp.example"\].*"s":1.*"fdbs":\[' asks 5310 +ednsopt=26 c2.evil.test A
if [ -z "$(asks 5310 +short +ednsopt=26 c2.evil.test A)" ]; then pass "no forged address beside it"; else fail "a forged address beside it"; fi

note "the web server fails"
kill "$NGINX"; wait "$NGINX" 2>/dev/null || true
becomes "the node says so" 'log=unreachable' status 5310
kill "$NODE"; wait "$NODE" 2>/dev/null || true; node 1
becomes "a node that starts without the log has its list" "^$SINK\$" address 5310 c2.evil.test
rm -f "$W/nginx.pid"; start nginx nginx -c "$W/nginx.conf"; NGINX=${PIDS[-1]}
becomes "and follows it when it is back" 'log=current' status 5310

note "SIGKILL while lists change"
wrong=0
for i in $(seq 12); do
  lists "$W/op" $(seq -f "n%g.kill$i.example" $((RANDOM % 2 * 400 + 1)))
  sleep "0.$((RANDOM % 10))$((RANDOM % 10))" # any moment
  kill -9 "$NODE"; wait "$NODE" 2>/dev/null || true
  node 1; wait_for 127.0.0.1 5310 c2.evil.test
  [ "$(address 5310 c2.evil.test)" = "$SINK" ] || wrong=$((wrong + 1))
done
if [ "$wrong" = 0 ]; then pass "after each of 12 kills the node has a whole list at once"; else fail "after $wrong of 12 kills the node has no list"; fi
becomes "and goes on to the last one" "^$SINK\$" address 5310 n1.kill12.example

note "an old log, another log, the right log"
cp -a "$W/op" "$W/backup"
lists "$W/op" later.example
for n in 1 2; do becomes "node $n has the newest list" "^$SINK\$" address "53${n}0" later.example; done
shows backup
becomes "an old log is told of" 'log=rolled-back' status 5310
lists "$W/backup" fork-a.example
lists "$W/backup" fork-b.example fork-c.example
becomes "another log by the same key is told of" 'log=forked' status 5310
becomes "where two are followed, of which one it is" '"logs=2".*"log1=forked" "log2=current"' status 5330
lists "$W/other" www.shop.test
becomes "the other one goes on" "^$SINK\$" address 5330 www.shop.test
becomes "and what the forked one listed before stays" "^$SINK\$" address 5330 later.example
becomes "the metrics tell them apart" "^shoji_follow_alarm\\{log=\"${second/+/\\+}\"\\} 0\$" inside curl -s http://127.0.0.1:9330/metrics
becomes "as an Extended DNS Error" 'EDE: 0 .*forked' status 5310
becomes "in the log lines" 'level=ERROR.*fault=forked' cat "$W/node1.log"
becomes "in the metrics" '^shoji_follow_alarm\{log="shoji-log"\} 1$' inside curl -s http://127.0.0.1:9310/metrics
becomes "its proof is kept" '/proof$' find "$W/state1/follow" -name proof
becomes "the last good list stays" "^$SINK\$" address 5310 later.example
if [ -z "$(address 5310 fork-b.example)" ]; then pass "and the other one is not followed"; else fail "a list of the fork is in force"; fi
inside curl -s http://127.0.0.1:9310/health | grep -q ready && pass "it goes on answering" || fail "health"
lists "$W/op" last.example
shows op
becomes "the right log is followed again" "^$SINK\$" address 5310 last.example
becomes "and the alarm stays until a person has looked" '^shoji_follow_alarm\{log="shoji-log"\} 1$' inside curl -s http://127.0.0.1:9310/metrics
rm -r "$W"/state1/follow/*/forks
becomes "which ends it" '^shoji_follow_alarm\{log="shoji-log"\} 0$' inside curl -s http://127.0.0.1:9310/metrics

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
