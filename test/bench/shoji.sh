# shoji, recursing from the root hints; the list is imported into its log and compiled before the start.
# A peer file for the side-by-side bench: copy or link it into peers/. SHOJI_BIN names a ready binary; without it one
# is built from the checkout that this file (or what it links to) is in.
CAPS="cold signed list dot doh"
peer_install() {
  if [ -n "${SHOJI_BIN:-}" ]; then cp "$SHOJI_BIN" "$BIN/shoji"; return; fi
  ( cd "$(dirname "$(readlink -f "$HERE/peers/$PEER.sh")")/../.." && CGO_ENABLED=0 go build -o "$BIN/shoji" ./cmd/shoji )
}
peer_version() { "$BIN/shoji" version; }
shoji_import() { "$BIN/shoji" list import "$@" --config "$P/shoji.yaml" --source bench --kind c2 --scope exact; }
peer_cmd() {
  cat > "$P/shoji.yaml" <<E
state: $P/state
listen:
  filtered: ["127.0.0.1:$PORT"]
  unfiltered: ["127.0.0.1:5301"]
  workers: 1
encrypted:
  dot: ["127.0.0.1:$TLSPORT"]
  doh: ["127.0.0.1:$HTTPSPORT"]
  certificate: $DATA/tls.crt
  key: $DATA/tls.key
resolve:
  root_hints: [{name: a.root-bench., addr: 198.18.0.11}]
  trust_anchors:
$(sed 's/[[:space:]]\+/ /g; s/.*/    - "&"/' "$DATA/zones/root.anchor")
  ipv6: false
cache:
  size: 512MiB
sinkhole:
  ipv4: $SINK
desk: {listen: []} # it reads the log when it starts, for 8 s with a list of 1,000,000; peers have none
E
  [ -z "$LIST" ] || shoji_import "$LIST.plain" > "$P/import" 2>&1 || { tail -n 5 "$P/import" >&2; return 1; }
  CMD=("$BIN/shoji" serve --config "$P/shoji.yaml")
}
peer_reload() { echo "$1" | shoji_import -; }
