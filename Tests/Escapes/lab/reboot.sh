# Starts the machine anew, to go on for ever.
# verdict: the guest's kernel died|did not reach user space
start
reboot -f
for_ever
