# Leaves a frame half sent.
# verdict: the guest's time, 16.0 s, was over
# run: --timeout 1s
start
header 2 0 65536 >&3
printf half >&3
for_ever
