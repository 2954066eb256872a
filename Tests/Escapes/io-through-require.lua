-- require hands out io where package.loaded still has it (nmap NSE gives scripts all of it)
print(require("io").open("../canary.txt"):read("a"))
print("ESC" .. "APED")
