# tree.sh: sourced by run.sh. make_tree DIR writes the zones, NSD's configurations, the
# hints, and the thousand questions.
#
#   .        198.18.0.11
#   aa. bb.  198.18.0.12
#   zN.aa. zN.bb. (N = 1..20)  198.18.0.13 and 2001:db8:53::13; z7 is served by a name
#            in another TLD (no glue), z9 also by an address where nobody answers.
make_tree() {
  local d=$1 z t n soa='SOA ns.tree.aa. admin.tree.aa. 1 3600 600 86400 300'
  mkdir -p "$d/zones"
  { echo '$TTL 86400'; echo ". $soa"; echo '. NS ns.root-e2e.'; echo 'ns.root-e2e. A 198.18.0.11'
    for t in aa bb; do echo "$t. NS ns.nic.$t."; echo "ns.nic.$t. A 198.18.0.12"; done; } > "$d/zones/root"
  for t in aa bb; do
    { echo '$TTL 3600'; echo "\$ORIGIN $t."; echo "@ $soa"; echo '@ NS ns.nic'; echo 'ns.nic A 198.18.0.12'
      for n in $(seq 20); do case $n in
        7) echo "z$n NS ns.z1.$([ $t = aa ] && echo bb || echo aa)." ;;
        9) echo "z$n NS ns1.z$n"; echo "z$n NS ns2.z$n"; echo "ns1.z$n A 198.18.0.14"; echo "ns2.z$n A 198.18.0.13" ;;
        *) echo "z$n NS ns.z$n"; echo "ns.z$n A 198.18.0.13"; echo "ns.z$n AAAA 2001:db8:53::13" ;;
      esac; done; } > "$d/zones/$t"
    for n in $(seq 20); do leaf_zone "$t" "$n" "$soa" > "$d/zones/z$n.$t"; done
  done
  nsd_conf "$d" root 198.18.0.11 '.:root'
  nsd_conf "$d" tld 198.18.0.12 aa:aa bb:bb
  local list=(); for t in aa bb; do for n in $(seq 20); do list+=("z$n.$t:z$n.$t"); done; done
  nsd_conf "$d" leaf '198.18.0.13 2001:db8:53::13' "${list[@]}"
  printf '. 3600000 NS ns.root-e2e.\nns.root-e2e. 3600000 A 198.18.0.11\n' > "$d/hints"
  questions > "$d/questions"
}
leaf_zone() { # TLD N SOA
  local t=$1 n=$2 k other; other=$([ "$t" = aa ] && echo bb || echo aa)
  echo '$TTL 600'; echo "\$ORIGIN z$n.$t."; echo "@ $3"
  case $n in
    7) echo "@ NS ns.z1.$other." ;;
    9) echo '@ NS ns1'; echo '@ NS ns2'; echo 'ns1 A 198.18.0.14'; echo 'ns2 A 198.18.0.13' ;;
    *) echo '@ NS ns'; echo 'ns A 198.18.0.13'; echo 'ns AAAA 2001:db8:53::13' ;;
  esac
  echo '@ MX 10 mail'; echo 'mail A 192.0.2.25'; echo '@ TXT "z" "one"'; echo '@ CAA 0 issue "ca.example"'
  for k in $(seq 12); do echo "h$k A 192.0.2.$k"; echo "h$k A 192.0.2.$((k + 100))"; echo "h$k AAAA 2001:db8::$k"; done
  echo "alias CNAME h1"; echo "far CNAME h2.z$((n % 20 + 1)).$other."; echo "far2 CNAME far"
  echo "tree DNAME z$((n % 20 + 1)).$other."
  echo '*.wild A 192.0.2.200'; echo '*.wild TXT "wild"'; echo 'a.b.ent A 192.0.2.201'
  echo "web HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1"; echo '_sip._tcp SRV 0 5 5060 mail'
  for k in $(seq 40); do echo "big TXT \"$(printf '%0200d' "$k")\""; done
  echo 'c2 A 192.0.2.66'; echo 'c2 AAAA 2001:db8::66'; echo 'c2 TXT "command"'; echo 'c2 HTTPS 1 . ipv4hint=192.0.2.66'
  echo 'x.botnet A 192.0.2.67'; echo 'tocc CNAME c2.z1.aa.'; echo 'toprefix A 203.0.113.9'; echo 'toprefix A 192.0.2.9'
  echo 'hint HTTPS 1 . ipv4hint=203.0.113.9'
}
questions() { # 1,040 lines: 26 for each of the 40 leaf zones
  local t n k; for t in aa bb; do for n in $(seq 20); do
    for k in 1 2 3 4 5 6; do echo "h$k.z$n.$t A"; done
    for k in 7 8 9; do echo "h$k.z$n.$t AAAA"; done
    echo "z$n.$t MX"; echo "z$n.$t TXT"; echo "z$n.$t NS"; echo "z$n.$t SOA"; echo "z$n.$t TYPE257"
    echo "alias.z$n.$t A"; echo "far.z$n.$t A"; echo "far2.z$n.$t AAAA"; echo "h3.tree.z$n.$t A"
    echo "any$n.wild.z$n.$t A"; echo "b.ent.z$n.$t A"; echo "web.z$n.$t HTTPS"; echo "_sip._tcp.z$n.$t SRV"
    echo "nothere$n.z$n.$t A"; echo "h1.z$n.$t MX"; echo "big.z$n.$t TXT"; echo "nozone$n.$t A"
  done; done
}
