-- a scenario's name and log with escape sequences that type into a terminal (CVE-2003-0063)
return { name = "x\27]0;owned\7\27[6n", cases = { ["\27[2Jcase"] = function(t) t:log("\27P$q\27\\") error("\27[21t") end } }
