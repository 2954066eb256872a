-- rawset puts names into the globals for other scripts to find; each has a state of its own
rawset(_G, "print", function() end)
rawset(_G, "require", nil)
return { cases = { fine = function() end } }
