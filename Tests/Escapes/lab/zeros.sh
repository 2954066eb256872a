# Sends zeros without end.
# verdict: the guest was ended: it sent what is no frame: 0 0 0 0 0 0 0 0
cat /dev/zero >&3
for_ever
