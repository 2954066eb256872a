# Sends a file that nobody asked for.
# verdict: the guest was ended: it sent file 0, which nobody asked for
start
{ header 4 0 5; printf hello; } >&3
for_ever
