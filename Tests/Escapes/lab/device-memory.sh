# Writes to the devices' memory: configuration, rings and doorbells of all.
# verdict: .
# run: --timeout 20s
start
for device in /sys/bus/pci/devices/*; do
    printf '\377\377' | dd of="$device/config" bs=1 seek=4 conv=notrunc 2>/dev/null
    for region in "$device"/resource[0-5]; do
        head -c 4096 /dev/urandom | dd of="$region" conv=notrunc 2>/dev/null
    done
    echo 1 >"$device/reset" 2>/dev/null
    echo 1 >"$device/remove" 2>/dev/null
done
echo 1 >/sys/bus/pci/rescan
say "wrote
"
end 0
for_ever
