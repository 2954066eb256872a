# Ends before it has started.
# verdict: the guest was ended: it sent a frame 'end' where none can be
end 0
for_ever
