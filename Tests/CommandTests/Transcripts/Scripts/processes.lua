-- Roles that are processes of their own.
return {
    name = "processes",
    about = "three roles, each a process",
    roles = { "a", "b", "c" },
    cases = {
        { "values and barriers", function(t)
            if t:role() == "a" then
                t:send({ bytes = "\xff\0", list = { 1, 2.5, { deep = true } }, nan = 0 / 0 }, "b")
                t:send("for all")
            elseif t:role() == "b" then
                local got = t:receive("a")
                t:log(("%d %s %s %s"):format(#got.bytes, got.list[2], got.list[3].deep, got.nan ~= got.nan))
            end
            if t:role() ~= "a" then t:log(t:receive("a")) end
            t:barrier()
        end },
        { "one fails, the others hear why", function(t)
            if t:role() == "b" then error("broken on purpose", 0) end
            t:barrier()
        end },
        { "the next case begins anew", function(t) t:barrier() end },
    },
}
