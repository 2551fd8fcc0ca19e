#!/bin/bash
# sinkhole.sh [-i]: shoji sinkhole as its users meet it, in two network namespaces: one has
# the sinkhole, to which nftables redirects every port, and the other has the clients. Then
# it is put under load (test/sinkhole); figures are printed, and only memory has a bound that
# must hold, because the time a busy machine takes says nothing. -i installs what is missing.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)/sinkhole
. "$HERE/../stage.sh"
need "${1:-}" ip:iproute2 nft:nftables curl:curl tcpdump:tcpdump
CLIENT=$NS-client
trap 'ip netns del "$CLIENT" 2>/dev/null || true; cleanup' EXIT
client() { ip netns exec "$CLIENT" "$@"; }
fail() { echo "FAILED: $*" >&2; cat "$W"/*.log >&2; exit 1; }
limit=$((64 * 1024)) # KiB of memory

note build
(cd "$HERE/../.." && go build -o "$W/shoji" ./cmd/shoji && go build -o "$W/load" ./test/sinkhole)

note two namespaces, and every port redirected to one
make_namespace
ip netns add "$CLIENT"
ip link add "v$$a" netns "$NS" type veth peer name "v$$b" netns "$CLIENT"
inside ip link set "v$$a" up; client ip link set "v$$b" up; client ip link set lo up
inside ip addr add 192.0.2.53/24 dev "v$$a"; client ip addr add 192.0.2.1/24 dev "v$$b"
inside ip -6 addr add 2001:db8::53/64 dev "v$$a" nodad; client ip -6 addr add 2001:db8::1/64 dev "v$$b" nodad
inside nft -f - <<NFT
table inet sinkhole {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr 192.0.2.53 meta l4proto { tcp, udp } redirect to :9000
    ip6 daddr 2001:db8::53 meta l4proto { tcp, udp } redirect to :9000
  }
}
NFT
start sinkhole "$W/shoji" sinkhole --listen 0.0.0.0:9000 --listen '[::]:9000' --udp 0.0.0.0:9000 --udp '[::]:9000' \
  --dir "$W/captures" --desk 'https://desk.example/lookup?name=' # as nobody, since root starts it
chmod 755 "$W"
for _ in $(seq 100); do client curl -so /dev/null http://192.0.2.53/ && break; sleep 0.1; done

note what clients see
for host in 192.0.2.53 '[2001:db8::53]'; do
  [ "$(client curl -so "$W/page" -w '%{http_code}' "http://$host/gate.php?id=1")" = 403 ] || fail "no page from $host"
  grep -q 'location.hostname' "$W/page" || fail "the page of $host has no script"
  grep -q 'この名前はフィルタされています' "$W/page" || fail "the page of $host is not in Japanese"
  client curl -sko /dev/null --max-time 5 "https://$host/" && fail "something speaks TLS at $host"
  client curl -so /dev/null --max-time 1 "telnet://$host:4444" < <(echo HELO; sleep 2) && true
done
client bash -c 'exec 3<>/dev/udp/192.0.2.53/5353; printf datagram >&3; ! timeout 1 head -c 1 <&3 | grep -q .' || fail "a datagram was answered"

note one folder, one sinkhole, and nothing else in it
second() { "$W/shoji" sinkhole --listen 127.0.0.1:0 --dir "$1" > "$W/second.log" 2>&1 && fail "two sinkholes in $1"; grep -q "$2" "$W/second.log" || fail "not told: $2"; }
second "$W/captures" 'another sinkhole keeps its captures'
mkdir "$W/home"; touch "$W/home/.profile"
second "$W/home" 'something else in it (.profile)'
[ "$(stat -c %u "$W/home")" = 0 ] || fail "a folder with other things was given away"

note what is left to whoever takes the process over
status=/proc/${PIDS[0]}/status
for want in 'CapEff:.0000000000000000' 'CapPrm:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2' 'Uid:.65534'; do
  grep -q "$want" "$status" || fail "$want is not in $status: $(cat "$status")"
done

kill "${PIDS[0]}"; wait "${PIDS[0]}" || fail "the sinkhole did not end well"

note the report and the export
"$W/shoji" sinkhole report --dir "$W/captures" --json > "$W/report.json"
for want in '"port": 80,' '"port": 443,' '"port": 4444,' '"port": 9000,' '"transport": "udp"'; do
  grep -q "$want" "$W/report.json" || fail "the report has no $want: $(cat "$W/report.json")"
done
"$W/shoji" sinkhole export --dir "$W/captures" > "$W/captures.pcapng"
tcpdump -nr "$W/captures.pcapng" 'tcp port 80' 2>/dev/null | grep -q 'GET /gate.php' || fail "tcpdump reads no request in the export"
LC_ALL=C grep -rqaP '192\.0\.2\.1[^0-9]|\xc0\x00\x02\x01' "$W/captures" && fail "a client's address is on disk"

note run by serve, as another user, and started again when it is killed
cat > "$W/shoji.yaml" <<CONF
listen: {filtered: ["127.0.0.1:5300"], unfiltered: ["127.0.0.1:5301"]}
desk: {listen: ["127.0.0.1:5381"]}
sinkhole: {ipv4: 127.83.72.1, run: {listen: ["127.83.72.1:80"], networks: "a law of the test"}}
CONF
start node "$W/shoji" serve --lab --config "$W/shoji.yaml"
node=${PIDS[-1]}
child() { pgrep -P "$node" -f 'sinkhole run' || true; }
page() { for _ in $(seq 100); do inside curl -so "$W/page" http://127.83.72.1/ && return; sleep 0.1; done; fail "serve runs no sinkhole"; }
page
first=$(child)
[ "$(stat -c %u "/proc/$first")" = 65534 ] || fail "it runs as user $(stat -c %u "/proc/$first")"
grep -q 'href="http://127.0.0.1:5381/' "$W/page" || fail "its page does not lead to the desk"
inside curl -s http://127.0.0.1:5381/sinkhole.json | grep -q 'a law of the test' || fail "the desk does not say by what law networks are kept"
kill -9 "$first"
inside "$W/shoji" query c2.evil.test --server 127.0.0.1:5300 | grep -q 127.83.72.1 || fail "the resolver does not answer without its sinkhole"
page
second=$(child)
[ -n "$second" ] && [ "$second" != "$first" ] || fail "it was not started again"
kill -9 "$node"; wait "$node" 2>/dev/null || true
for _ in $(seq 100); do [ -e "/proc/$second" ] || break; sleep 0.1; done
[ ! -e "/proc/$second" ] || fail "it goes on without its resolver"

note captures that cannot be kept: a full disk, a folder that is not there
mkdir "$W/small"; mount -t tmpfs -o size=64k,mode=700 none "$W/small"; trap 'umount "$W/small" 2>/dev/null || true; ip netns del "$CLIENT" 2>/dev/null || true; cleanup' EXIT
start full "$W/shoji" sinkhole --listen 127.0.0.1:80 --dir "$W/small"
full=${PIDS[-1]}
for _ in $(seq 100); do inside curl -so /dev/null http://127.0.0.1/ && break; sleep 0.1; done
for _ in $(seq 50); do grep -q 'captures cannot be written' "$W/full.log" && break; inside "$W/load" -to 127.0.0.1:80 -parts rate -length 100ms >/dev/null; sleep 0.1; done
grep -q 'captures cannot be written' "$W/full.log" || fail "a full disk was not told of"
inside curl -so /dev/null http://127.0.0.1/ || fail "a full disk ended the sinkhole"
kill "$full"; wait "$full" || fail "the sinkhole with a full disk did not end well"
umount "$W/small"
cat > "$W/astray.yaml" <<CONF
listen: {filtered: ["127.0.0.1:5300"], unfiltered: ["127.0.0.1:5301"]}
desk: {listen: []}
sinkhole: {ipv4: 127.83.72.1, run: {listen: ["127.83.72.1:80"], dir: /proc/no-such-folder}}
CONF
start astray "$W/shoji" serve --lab --config "$W/astray.yaml"
astray=${PIDS[-1]}
for _ in $(seq 100); do [ "$(grep -c 'started again' "$W/astray.log")" -ge 2 ] && break; sleep 0.1; done
grep -q 'cause=.*no-such-folder.*after=1s' "$W/astray.log" && grep -q 'after=2s' "$W/astray.log" || fail "a sinkhole without a folder is not tried again ever later, or not told of"
inside "$W/shoji" query c2.evil.test --server 127.0.0.1:5300 | grep -q 127.83.72.1 || fail "the resolver does not answer without its sinkhole"
kill "$astray"; wait "$astray" || fail "serve did not end well"

inside nft flush ruleset # and with it connection tracking, whose table the load would fill
inside sysctl -qw net.ipv4.ip_local_port_range='1024 65000'
note load on one processor, "$(cut -d' ' -f1 /proc/loadavg) busy already"
start loaded taskset -c 0 "$W/shoji" sinkhole --listen 0.0.0.0:80 --listen 0.0.0.0:443 --udp 0.0.0.0:53 --dir "$W/loaded" --user 65534:65534
loaded=${PIDS[-1]}
for _ in $(seq 100); do inside curl -so /dev/null http://127.0.0.1/ && break; sleep 0.1; done
last=$(($(nproc) - 1)) # the generator has another processor, where there is one
load() { inside taskset -c "$last" "$W/load" -process "$loaded" "$@"; }
echo "port 80: the page"; load -to 127.0.0.1:80 -udp 127.0.0.1:53 -other 127.0.0.1:443 || fail "the load on port 80"
echo "port 443: closed at once"; load -to 127.0.0.1:443 -silent -idle 100 || fail "the load on port 443"
most=$(awk '/VmHWM/ { print $2 }' "/proc/$loaded/status")
[ "$most" -le "$limit" ] || fail "$most KiB of memory, of at most $limit"
note passed
