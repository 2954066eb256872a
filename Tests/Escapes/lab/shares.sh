# Looks for what the host may share: disks, 9p, virtiofs, memory.
# verdict: nothing is shared
start
mkdir -p /mnt
for tag in hostroot job root share; do
    mount -t 9p -o trans=virtio,version=9p2000.L "$tag" /mnt 2>/dev/null && say "ESCAPED: 9p $tag"
    mount -t virtiofs "$tag" /mnt 2>/dev/null && say "ESCAPED: virtiofs $tag"
done
for disk in /dev/vd* /dev/sd* /dev/nvme* /dev/sr* /dev/pmem*; do [ -e "$disk" ] && say "ESCAPED: $disk"; done
say "nothing is shared
"
end 0
for_ever
