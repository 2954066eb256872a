# Writes to the kernel's console without end.
# verdict: the guest's time, 18.0 s, was over
# run: --timeout 3s
start
while :; do cat /dev/urandom; done >/dev/ttyS0 2>&1
