# Searches its own memory and image for what only the host's files have.
# verdict: searched
# run: --timeout 60s
start
cat /proc/cmdline /etc/peerlab-job.json >/tmp/known
size=$(wc -c </tmp/known)
{ header 2 0 "$size"; cat /tmp/known; } >&3
say "
searched
"
end 0
for_ever
