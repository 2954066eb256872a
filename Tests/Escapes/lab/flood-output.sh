# Sends output without end.
# verdict: the guest was ended: it printed more than 64 MiB
start
head -c 65536 /dev/zero | tr '\0' x >/tmp/block
{ header 2 0 65536; cat /tmp/block; } >/tmp/frame
while :; do cat /tmp/frame >&3; done
