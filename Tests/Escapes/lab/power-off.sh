# Turns the machine off before anything is said.
# verdict: the guest did not reach user space|the guest's kernel died
poweroff -f
for_ever
