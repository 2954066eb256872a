# Sends random bytes.
# verdict: the guest was ended: it sent
start
cat /dev/urandom >&3
for_ever
