-- the same in a role's thread, while the first role waits for it
-- run: --timeout 1s
return { roles = { "one", "two" }, cases = { bomb = function(t)
  if t:role() == "two" then (("a"):rep(100)):find((".-"):rep(30) .. "b") end
  t:barrier()
end } }
