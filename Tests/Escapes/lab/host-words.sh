# Says what only the host says.
# verdict: the guest was ended: it sent a frame 'interrupt' where none can be
start
header 6 0 0 >&3
for_ever
