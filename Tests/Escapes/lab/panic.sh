# Lets the kernel die.
# verdict: the guest's kernel died
start
echo c >/proc/sysrq-trigger
for_ever
