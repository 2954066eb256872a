extension Mistake {
    /// Mistakes in tables that are filled step by step, and in functions that others call.
    static let ofTables: [Mistake] = [
        Mistake(
            "a call that is made before its error can be caught",
            #"""
            local expect, vfio = require "expect", require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(_, opt)
                local dev <close> = vfio.open(opt.exporter)
                expect.errno("EINVAL", dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 1 } } })
              end } },
            }
            """#,
            #"6:28: error: expect.errno: this call is made before expect.errno can catch its error; write expect.errno(..., function() return ... end)"#
        ),
        Mistake(
            "a call of a function that returns nothing, before its error can be caught",
            #"""
            local function refuse() error("no") end
            print(pcall(refuse()))
            """#,
            #"2:13: error: pcall: this call is made before pcall can catch its error; write pcall(function() return ... end)"#
        ),
        Mistake(
            "text in place of a function",
            #"""
            local expect = require "expect"
            expect.errno("EINVAL", "export_dmabuf")
            """#,
            #"2:24: error: expect.errno: a function is expected here, not a string"#),
        Mistake(
            "an expected failure of no case",
            #"""
            return {
              name = "broken",
              expected_failures = { { case = "wirtes", reason = "known" } },
              cases = { { "writes", function(t) t:log("a") end } },
            }
            """#,
            #"3:25: error: 'expected_failures': no case is called 'wirtes'; did you mean 'writes'?"#),
        Mistake(
            "a key that is added later and does not exist",
            #"""
            local vfio = require "vfio"
            local dev = vfio.open("0000:01:00.0")
            local request = { region_index = 2 }
            request.rangs = { { offset = 0, length = 4096 } }
            print(dev:export_dmabuf(request))
            """#,
            #"4:9: error: device:export_dmabuf: unknown key 'rangs' in 'request'; did you mean 'ranges'?"#,
            #"5:25: error: device:export_dmabuf: 'request.ranges' is missing; it must be a list"#),
        Mistake(
            "a wrong key of a table in a variable",
            #"""
            local vfio = require "vfio"
            local dev = vfio.open("0000:01:00.0")
            local request = { regoin_index = 2, ranges = { { offset = 0, length = 4096 } } }
            print(dev:export_dmabuf(request))
            """#,
            #"3:19: error: device:export_dmabuf: unknown key 'regoin_index' in 'request'; did you mean 'region_index'?"#,
            #"4:25: error: device:export_dmabuf: 'request.region_index' is missing; it must be an integer"#
        ),
        Mistake(
            "a field that nothing sets",
            #"""
            local t = {}
            t.region = 1
            print(t.regoin)
            """#,
            #"3:9: warning: this table never gets a 'regoin', so this is nil; did you mean 'region'?"#),
        Mistake(
            "roles that the scenario does not have",
            #"""
            local function work(t) return t:role() ~= "initator" end
            return {
              name = "broken", roles = { "initiator", "target" },
              cases = { { "a case", function(t)
                local me = t:role()
                if t:role() == "targt" or "server" == me then t:log("a") end
                t:log(tostring(work(t)))
              end } },
            }
            """#,
            #"1:43: error: the scenario has no role 'initator'; did you mean 'initiator'? (roles: initiator, target)"#,
            #"6:20: error: the scenario has no role 'targt'; did you mean 'target'? (roles: initiator, target)"#,
            #"6:31: error: the scenario has no role 'server' (roles: initiator, target)"#),
        Mistake(
            "an option of the fixture that is misspelt",
            #"""
            local fixture = require "fixture"
            return {
              name = "broken", options = fixture.nic_options { pages = { type = "integer", default = 1 } },
              effects = { "open" },
              cases = { { "a case", function(t, opt)
                local f <close> = fixture.nic(opt)
                t:log(("%d %d %s"):format(opt.pages, opt.regoin, f))
              end } },
            }
            """#,
            #"7:46: error: the scenario declares no option 'regoin'; did you mean 'region'?"#),
    ]
}
