# Ends with a code of one byte.
# verdict: the guest was ended: it sent a frame 'end' of 1 bytes
start
{ header 5 0 1; bytes 0; } >&3
for_ever
