-- an endless loop in a coroutine, where a count hook of the main thread does not run (known since 5.1)
-- run: --timeout 1s
coroutine.wrap(function() while true do end end)()
