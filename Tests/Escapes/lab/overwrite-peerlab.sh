# Writes over the memory of the guest's first program, and its file.
# verdict: the guest's kernel died|the guest's time|the guest was ended|exit code
# command
# run: --timeout 5s
head -c 4096 /dev/urandom >/usr/bin/peerlab.new
mv /usr/bin/peerlab.new /usr/bin/peerlab
sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) rw.p.*/\1/p' /proc/1/maps | while read -r start; do
    head -c 65536 /dev/urandom | dd of=/proc/1/mem bs=4096 seek=$((0x$start / 4096)) conv=notrunc 2>/dev/null
done
kill -KILL 1
while :; do sleep 1; done
