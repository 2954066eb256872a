# Reaches for the host over the network, whose port is in CANARY_PORT of the host.
# verdict: no way out
# run: --timeout 60s
start
for interface in /sys/class/net/*; do [ -e "$interface/device" ] && name=${interface##*/}; done
ip link set lo up
ip link set "$name" up
ip address add 10.0.2.15/24 dev "$name"
ip route add default via 10.0.2.2
for host in 10.0.2.2 10.0.2.3 10.0.2.4 127.0.0.1; do
    for port in @CANARY_PORT@ 22 80; do
        echo hello | nc -w 1 "$host" "$port" >/tmp/answer 2>/dev/null
        [ -s /tmp/answer ] && say "ESCAPED: $host answers at $port"
    done
done
say "no way out
"
end 0
for_ever
