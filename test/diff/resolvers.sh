# resolvers.sh: sourced by run.sh. Each function configures and starts one resolver with
# the tree's hints and trust anchor. Beside these only that is set which keeps a resolver
# from the Internet, lets it ask servers on this machine, or makes room for the load.
start_shoji() {
  cat > "$W/shoji.yaml" <<CONF
state: $W/state
listen: {filtered: ["127.0.0.1:5300"], unfiltered: ["127.0.0.1:5301"]}
resolve: {root_hints: [{name: "$(awk '{print $4; exit}' "$W/hints")", addr: 198.18.2.1}], trust_anchors: ["$(tr '\t' ' ' < "$W/anchor")"]}
CONF
  echo unrelated.example > "$W/threats.txt"
  inside "$W/shoji" list import "$W/threats.txt" --source diff --kind c2 --config "$W/shoji.yaml" > "$W/import.log" 2>&1 || { cat "$W/import.log"; exit 1; }
  start shoji "$W/shoji" serve --config "$W/shoji.yaml"
}
start_unbound() { # ADDRESS
  unbound_conf "$1" "root-hints: \"$W/hints\" trust-anchor-file: \"$W/anchor\" module-config: \"validator iterator\" ede: yes
    num-queries-per-thread: 4096 outgoing-range: 8192 msg-cache-size: 64m rrset-cache-size: 128m key-cache-size: 16m neg-cache-size: 16m" > "$W/unbound.conf"
  start unbound unbound -d -c "$W/unbound.conf"
}
start_knot() { # ADDRESS
  mkdir -p "$W/knot"
  cat > "$W/knot/kresd.conf" <<CONF
modules.unload('priming'); modules.unload('ta_update'); modules.unload('ta_signal_query'); modules.unload('detect_time_skew'); modules.unload('detect_time_jump')
net.listen('$1', 53, { kind = 'dns' })
cache.open(200 * MB, 'lmdb://$W/knot/cache')
modules.load('hints > iterate')
hints.root({ ['$(awk '{print $4; exit}' "$W/hints")'] = '198.18.2.1' })
trust_anchors.remove('.')
trust_anchors.add([[$(tr '\t' ' ' < "$W/anchor")]])
CONF
  start knot kresd -n -c "$W/knot/kresd.conf" "$W/knot"
}
start_bind() { # ADDRESS
  mkdir -p "$W/bind"
  cat > "$W/bind/named.conf" <<CONF
options { directory "$W/bind"; pid-file none; session-keyfile none; listen-on { $1; }; listen-on-v6 { none; };
  recursion yes; allow-query { any; }; allow-recursion { any; }; dnssec-validation yes; empty-zones-enable no;
  recursive-clients 10000; clients-per-query 0; };
controls { };
trust-anchors { . static-ds $(awk '{printf "%s %s %s \"%s\"", $5, $6, $7, $8}' "$W/anchor"); };
zone "." { type hint; file "$W/hints"; };
CONF
  start bind named -g -n 1 -c "$W/bind/named.conf"
}
