# Starts twice.
# verdict: the guest was ended: it sent a frame 'started' where none can be
start
start
for_ever
