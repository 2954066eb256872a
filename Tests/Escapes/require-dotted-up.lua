-- dots that become slashes: '...canary' is '../.canary' to a naive gsub
print(require "...canary")
print("ESC" .. "APED")
