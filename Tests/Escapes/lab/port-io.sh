# Writes to every I/O port it can, to confuse the emulator or to read its configuration.
# verdict: .
# run: --timeout 20s
start
for port in $(seq 1024 7 65000); do
    printf '\377' | dd of=/dev/port bs=1 seek="$port" conv=notrunc 2>/dev/null
done
say "wrote
"
end 0
for_ever
