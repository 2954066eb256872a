# Promises a frame of 4 GiB.
# verdict: the guest was ended: it sent a frame 'output' of 4294967295 bytes
start
bytes 2 0 0 0 255 255 255 255 >&3
cat /dev/zero >&3
for_ever
