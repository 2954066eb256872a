# Computes for ever on every processor.
# verdict: the guest's time, 17.0 s, was over
# run: --timeout 2s
echo 1 >/sys/devices/system/cpu/cpu1/online
start
while :; do :; done &
while :; do :; done
