# Prints one line of 32 MiB.
# verdict: xxxx
start
head -c 65536 /dev/zero | tr '\0' x >/tmp/block
{ header 2 0 65536; cat /tmp/block; } >/tmp/frame
for n in $(seq 512); do cat /tmp/frame >&3; done
end 0
for_ever
