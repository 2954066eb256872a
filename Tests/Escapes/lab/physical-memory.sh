# Writes over its own kernel.
# verdict: .
# run: --timeout 20s
start
head -c 1048576 /dev/urandom | dd of=/dev/mem bs=4096 seek=256 conv=notrunc 2>/dev/null
head -c 1048576 /dev/urandom | dd of=/proc/kcore bs=4096 conv=notrunc 2>/dev/null
echo b >/proc/sysrq-trigger
for_ever
