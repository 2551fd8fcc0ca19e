# checks.sh: sourced by run.sh once every server answers.
F='@127.0.0.1 -p 5300' U='@127.0.0.1 -p 5301'

note "both views, over UDP, TCP, IPv4 and IPv6"
for how in "@127.0.0.1" "@::1" "@127.0.0.1 +tcp" "@::1 +tcp" "@127.0.0.1 +noedns" "@127.0.0.1 +dnssec" "@127.0.0.1 +cd"; do
  expect "filtered $how: a listed A leads to the sinkhole" '^c2\.z1\.aa\..*IN.A.192\.0\.2\.53$' $how -p 5300 c2.z1.aa A
  expect "filtered $how: a listed AAAA leads to the sinkhole" '2001:db8::53$' $how -p 5300 c2.z1.aa AAAA
  refuse "filtered $how: nothing of the original is beside it" '192\.0\.2\.66|2001:db8::66' $how -p 5300 c2.z1.aa A
  expect "unfiltered $how: the original is given" '192\.0\.2\.66$' $how -p 5301 c2.z1.aa A
done
expect "a filtered A cites Forged Answer and a log entry" 'EDE: 4 .*log entry [0-9]+' $F c2.z1.aa A
expect "a filtered TXT is NODATA with Blocked" 'EDE: 15 ' $F c2.z1.aa TXT
expect "a filtered TXT has a SOA" 'IN.SOA' $F c2.z1.aa TXT
refuse "a filtered HTTPS gives no hint" 'ipv4hint' $F c2.z1.aa HTTPS
expect "ANY of a listed name is answered by RFC 8482" 'HINFO.*RFC8482' $F c2.z1.aa ANY
expect "a CNAME to a listed name is filtered" '^tocc\.z5\.bb\..*192\.0\.2\.53$' $F tocc.z5.bb A
refuse "a filtered CNAME shows no target" 'c2\.z1\.aa' $F tocc.z5.bb A
expect "the twin shows the chain" 'c2\.z1\.aa' $U tocc.z5.bb A
expect "an address in a listed prefix is filtered" '192\.0\.2\.53$' $F toprefix.z3.aa A
refuse "its other address is not given beside it" '192\.0\.2\.9$' $F toprefix.z3.aa A
refuse "an address hint in a listed prefix is filtered" '203\.0\.113\.9' $F hint.z3.aa HTTPS
expect "a name below a listed subtree is filtered" '192\.0\.2\.53$' $F x.botnet.z2.bb A
expect "the subtree of another zone is not" '192\.0\.2\.67$' $F x.botnet.z2.aa A
expect "an unlisted name is answered" '192\.0\.2\.1$' $F h1.z1.aa A
refuse "an unlisted answer carries no error" 'EDE' $F h1.z1.aa A
expect "a large answer comes over TCP" '00000040"' $F big.z4.aa TXT
expect "the same over UDP says TC" 'flags:.* tc' $F +ignore big.z4.aa TXT
refuse "AD is never set on a filtered answer" 'flags:[a-z ]* ad' $F +adflag c2.z1.aa A

note "kdig"
out=$(inside kdig @127.0.0.1 -p 5300 +edns c2.z1.aa A 2>&1) || true
if grep -q '192.0.2.53' <<< "$out" && grep -qi 'EDE\|Forged' <<< "$out"; then pass "kdig shows the sinkhole and the error"; else fail "kdig: $out"; fi

note "Unbound as a client"
expect "through Unbound a listed name leads to the sinkhole" '192\.0\.2\.53$' @127.0.3.1 c2.z1.aa A
expect "through Unbound an unlisted name is answered" '192\.0\.2\.3$' @127.0.3.1 h3.z5.bb A

note "Unbound as an encrypted upstream"
grep -v '^nothing' "$W/questions" | head -n 300 > "$W/some"
answers 127.0.3.2 53 "$W/some" | sort > "$W/theirs"
for how in "TLS 5311" "HTTPS 5321"; do
  answers 127.0.0.1 "${how#* }" "$W/some" | sort > "$W/ours"
  if [ -s "$W/ours" ] && diff "$W/theirs" "$W/ours" > "$W/diff"; then pass "over ${how% *}: $(wc -l < "$W/ours") answers equal those of its own recursion"
  else fail "over ${how% *}: answers differ:"; head -n 20 "$W/diff"; fi
done

note "a thousand questions, compared with Unbound's own answers"
grep -v '^nothing' "$W/questions" > "$W/q"
answers 127.0.0.1 5301 "$W/q" | sort > "$W/ours"
answers 127.0.3.2 53 "$W/q" | sort > "$W/theirs"
n=$(wc -l < "$W/ours"); want=$(wc -l < "$W/q")
if [ "$n" = "$want" ]; then pass "shoji answered $n of $want"; else fail "shoji answered $n of $want"; fi
if diff "$W/theirs" "$W/ours" > "$W/diff"; then pass "$n answers equal up to TTL and order"
else fail "$(grep -c '^>' "$W/diff") answers differ from Unbound's:"; head -n 20 "$W/diff"; fi
answers 127.0.0.1 5300 "$W/q" | sort > "$W/filtered"
if diff "$W/ours" "$W/filtered" > "$W/diff"; then pass "the filtered view says the same of unlisted names"
else fail "the views differ on unlisted names:"; head -n 20 "$W/diff"; fi

note "a delisting is in force on the next packet after it is published"
inside "$W/shoji" list remove c2.z1.aa --reason "end-to-end check" --config "$W/shoji.yaml" > "$W/remove.log" 2>&1 || fail "list remove: $(cat "$W/remove.log")"
for i in $(seq 50); do inside dig +tries=1 +time=2 $F c2.z1.aa A | grep -q '192\.0\.2\.66$' && break; sleep 0.1; done
expect "the delisted name is answered" '192\.0\.2\.66$' $F c2.z1.aa A
expect "what led to it is answered" '192\.0\.2\.66$' $F tocc.z5.bb A
