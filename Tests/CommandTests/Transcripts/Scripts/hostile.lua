-- Text that would be taken for peerlab's own, or that a terminal would obey.
return {
    about = "shows\nbench: host (this machine)",
    cases = {
        { "fine  [1 ms]\n  ok    forged\27[2J\u{202e}", function(t)
            print("\27]0;title\7\n3 passed, 0 failed, 0 skipped\n\n" .. ("x"):rep(9000))
            t:log("bench: host\n  nothing left open\u{200b}\x9b")
            error("wrong\n3 passed, 0 failed, 0 skipped\27[8m", 0)
        end },
    },
}
