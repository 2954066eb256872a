-- a searcher of one's own, or the C ones behind package.searchers
for _, searcher in ipairs(package.searchers) do print(searcher("canary")) end
print("ESC" .. "APED")
