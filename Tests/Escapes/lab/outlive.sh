# Leaves processes behind that hold its output open.
# verdict: left them
# command
# run: --timeout 5s
for n in 1 2 3 4; do setsid sh -c 'trap "" INT TERM; while :; do echo still here; sleep 0.1; done' & done
echo left them
exit 0
