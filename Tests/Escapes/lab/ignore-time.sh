# Ignores every signal and goes on.
# verdict: the guest's time, 16.0 s, was over
# command
# run: --timeout 1s
trap '' INT TERM HUP QUIT
while :; do sleep 1; done
