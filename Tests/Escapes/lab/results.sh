# Makes of its results links, pipes and devices.
# verdict: made them
# command
# run: --timeout 10s
mkdir -p /run/results
ln -sf /dev/zero /run/results/0
mkfifo /run/results/1
echo made them
