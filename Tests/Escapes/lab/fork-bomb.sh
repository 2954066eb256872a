# Forks for ever.
# verdict: the guest's time, 17.0 s, was over|the guest's kernel died
# run: --timeout 2s
start
bomb() { bomb | bomb & }
bomb
for_ever
