# The first program ends.
# verdict: the guest's kernel died
start
exit 0
