# Fills its memory.
# verdict: the guest's kernel died|the guest's time
# run: --timeout 10s
start
cat /dev/zero >/tmp/all
exec 3>&-
tail /dev/zero
for_ever
