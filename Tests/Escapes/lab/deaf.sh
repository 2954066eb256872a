# Takes nothing that the host says, and never ends.
# verdict: the guest's time, 16.0 s, was over
# run: --timeout 1s
start
trap '' INT TERM HUP QUIT
while :; do sleep 1; done
