# stage.sh: sourced by the scripts that run shoji against real servers. It keeps a scratch
# folder ($W), a network namespace ($NS) and processes, all gone when the script ends.
W=$(mktemp -d); NS=shoji-$(basename "$HERE")-$$; PIDS=()
PATH=$PATH:/usr/sbin:/sbin
cleanup() {
  local p; for p in "${PIDS[@]}"; do kill "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "$NS" 2>/dev/null || true
  if [ -n "${KEEP:-}" ]; then echo "kept: $W" >&2; else rm -rf "$W"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM
note() { echo "-- $*"; }
inside() { ip netns exec "$NS" "$@"; }

# need WHETHER PROGRAM:PACKAGE...: installs what is missing if WHETHER is -i (services are
# not started), else ends the script with 77
need() {
  local miss=() pair whether=$1; shift
  [ "$(id -u)" = 0 ] || { echo "skipped: needs root for a network namespace" >&2; exit 77; }
  for pair; do
    command -v "${pair%%:*}" >/dev/null || miss+=("${pair##*:}")
  done
  [ ${#miss[@]} -eq 0 ] && return
  if [ "$whether" != -i ]; then echo "skipped: missing ${miss[*]} (run with -i to install)" >&2; exit 77; fi
  [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${miss[@]}"
}
make_namespace() { # ADDRESS...: on its loopback interface, which is the only one
  local a
  ip netns add "$NS"
  inside ip link set lo up
  for a; do case $a in
    *:*) inside ip -6 addr add "$a/128" dev lo nodad ;;
    *) inside ip addr add "$a/32" dev lo 2>/dev/null || true ;;
  esac; done
}
start() { # start NAME COMMAND...: in the namespace, logged to $W/NAME.log
  local name=$1; shift
  ip netns exec "$NS" "$@" > "$W/$name.log" 2>&1 & PIDS+=($!) # the command itself: ip execs it
}
wait_for() { # wait_for SERVER PORT NAME: until any reply comes, 20 s at most
  local i; for i in $(seq 100); do
    inside dig +tries=1 +time=1 "@$1" -p "$2" "$3" A >/dev/null 2>&1 && return
    sleep 0.2
  done
  echo "no answer from $1 port $2" >&2; tail -n 20 "$W"/*.log >&2; exit 1
}
nsd_conf() { # DIR NAME ADDRESSES ZONE:FILE...
  local d=$1 name=$2 a z; { echo server:; for a in $3; do echo "  ip-address: $a"; done; shift 3
    echo "  server-count: 1"; echo '  username: ""'; echo '  chroot: ""'; echo "  zonesdir: \"$d/zones\""; echo "  pidfile: \"$d/nsd-$name.pid\""
    echo '  database: ""'; echo "  xfrdfile: \"$d/nsd-$name.xfrd\""; echo "  zonelistfile: \"$d/nsd-$name.zones\""; echo "  xfrdir: \"$d\""
    echo '  verbosity: 0'; echo '  rrl-ratelimit: 0'; echo 'remote-control:'; echo '  control-enable: no'
    for z; do echo zone:; echo "  name: ${z%%:*}"; echo "  zonefile: ${z##*:}"; done; } > "$d/nsd-$name.conf"
}
unbound_conf() { # ADDRESS REST: an Unbound that resolves from the loopback's addresses
  echo "server: interface: $1 port: 53 directory: \"$W\" chroot: \"\" username: \"\" pidfile: \"\" do-daemonize: no use-syslog: no"
  echo "do-not-query-localhost: no access-control: 127.0.0.0/8 allow $2"
}
