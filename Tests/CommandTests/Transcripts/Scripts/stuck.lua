return { name = "stuck", cases = {
  { "comes first", function(t) t:log("kept") end },
  { "never ends", function()
    -- Once it is told to stop, the only thing that still runs is this: a pattern that does not come back.
    local for_ever = (("a"):rep(100)):gmatch((".-"):rep(30) .. "b")
    xpcall(function()
      print "goes on"
      while true do end
    end, for_ever)
  end },
  { "comes last", function() end },
} }
