# Writes to the kernel's log without end.
# verdict: the guest's time, 18.0 s, was over
# run: --timeout 3s
start
echo 8 >/proc/sys/kernel/printk
echo on >/proc/sys/kernel/printk_devkmsg
while :; do echo "<0>$(head -c 900 /dev/zero | tr '\0' y)" >/dev/kmsg; done
