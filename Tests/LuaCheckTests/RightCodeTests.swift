import Testing

@testable import LuaCheck

/// Right code that a checker without knowledge of its ways might call wrong.
@Suite struct RightCodeTests {
    private static let texts: [(name: String, text: String)] = [
        (
            "scopes that functions and loops fill, and lists of arguments that are not seen",
            #"""
            local scope, expect, vfio = require "scope", require "expect", require "vfio"
            local Group = scope.class "a group"
            for name, f in pairs { total = function() return 1 end } do Group[name] = f end
            local function fill(opened) rawset(opened, "dev", opened:keep(vfio.open "0000:01:00.0")) end
            local function both(dev) return dev, { region_index = 2, ranges = { { offset = 0, length = 1 } } } end
            return {
              name = "right",
              cases = { { "a case", function(t)
                local opened <close> = scope.open(fill)
                local group <close> = scope.open(nil, Group)
                local empty <close> = scope.open()
                for _, name in ipairs { "one", "two" } do empty[name] = vfio.open "0000:01:00.0" end
                t:log(group:total() + (empty.one and 1 or 0))
                local dev = opened.dev
                local function refused(...) expect.errno("EINVAL", dev.export_dmabuf, ...) end
                refused(both(dev))
                expect.errno("EINVAL", dev.export_dmabuf, both(dev))
                t:log(tostring(vfio.open("0000:01:00.0").export_dmabuf(both(dev))))
              end } },
            }
            """#
        ),
        (
            "objects of shipped modules, with fields of the script's own",
            #"""
            local pair, scope, steering = require "rdma_pair", require "scope", require "steering"
            local Mine = scope.class("mine", { "own" })
            function Mine:twice() return self.own and 2 end
            local function connected(t, nic, more)
              local with = { nic = nic }
              for name, value in pairs(more) do with[name] = value end
              return pair.connect(t, with)
            end
            return {
              name = "right", roles = { "a", "b" }, options = { nic = { type = "rdma", default = "auto" } },
              cases = { { "a case", function(t, opt)
                local side <close> = connected(t, opt.nic, { length = "4K" })
                side.extra = side:keep(scope.open())
                side.extra:keep(side)
                local own <close> = scope.open(nil, Mine)
                t:log(tostring(own:twice()) .. tostring(side.gid) .. tostring(side.peer.endpoints[1]))
                local tag = side.tag or steering.seen { t = t, nic = opt.nic, mr = side.mr, send = nil }.tag
                side.tag = tag
              end } },
            }
            """#
        ),
        (
            "what is nil, and so not there",
            #"""
            local rdma, memory = require "rdma", require "memory"
            local SLOW <const> = nil
            local function nothing() end
            local function extra() return nil end
            return {
              name = "right", about = SLOW, timeout = SLOW, roles = SLOW, note = nil, effects = { "open", "dma", SLOW },
              cases = { { "a case", function(t)
                local pd = rdma.open("mlx5_0"):alloc_pd()
                local mr = pd:reg_mr { memory = memory.alloc("4K"), access = { "local_write", SLOW, nothing() }, note = nil }
                t:log(pd:reg_mr { memory = memory.alloc("4K"), access = { "local_write", (extra()) } })
                t:log(mr)
              end }, SLOW },
            }
            """#
        ),
        (
            "cases that are added to a variable's list",
            #"""
            local cases = {}
            cases[1] = { "one", function(t) t:log("a") end }
            cases["another"] = function(t) t:log("b") end
            table.insert(cases, { "two", function(t) t:log("c") end })
            return { name = "right", cases = cases }
            """#
        ),
        (
            "roles that are not written out, or of another thing",
            #"""
            local names = { "one" }
            names[#names + 1] = "two"
            local other = { role = function() return "third" end }
            return { name = "right", roles = names, cases = { { "a", function(t)
              local me = t:role()
              if me == "two" or t:role() == "one" or other:role() == "third" then t:log("c") end
            end } } }
            """#
        ),
        (
            "a role's variable that gets another value",
            #"""
            return { name = "right", roles = { "one", "two" }, cases = { { "a", function(t)
              local me = t:role()
              if me == "one" then me = "both" end
              if me == "both" or t:role() == "two" then t:log("c") end
            end } } }
            """#
        ),
        (
            "cases that a library function adds",
            #"""
            local cases = {}
            table.insert(cases, { "two", function(t) t:log("c") end })
            return { name = "right", cases = cases }
            """#
        ),
        (
            "cases that a function of the file adds",
            #"""
            local cases = {}
            local function add(list, name) list[#list + 1] = { name, function(t) t:log("c") end } end
            add(cases, "a")
            return { name = "right", cases = cases }
            """#
        ),
        (
            "cases that are added to the scenario's list",
            #"""
            local scenario = { name = "right", cases = {} }
            scenario.cases[1] = { "one", function(t) t:log("a") end }
            return scenario
            """#
        ),
        (
            "cases that are added to the scenario's list under another name",
            #"""
            local scenario = { name = "right", cases = {} }
            local list = scenario.cases
            list[#list + 1] = { "one", function(t) t:log("a") end }
            return scenario
            """#
        ),
        (
            "options that are added to the scenario's",
            #"""
            local scenario = { name = "right", options = {}, cases = { { "one", function(t, opt) t:log(opt.size) end } } }
            scenario.options.size = { type = "integer", default = 1 }
            return scenario
            """#
        ),
        (
            "a case's function that others call with a table",
            #"""
            local function measure(t, opt)
              t:log(opt.bytes)
              t:log(opt.size)
            end
            return {
              name = "right", options = { size = { type = "integer", default = 1 } },
              cases = {
                { "one", measure },
                { "two", function(t, opt) measure(t, { size = opt.size, bytes = 2 }) end },
              },
            }
            """#
        ),
        (
            "a case's function that others get",
            #"""
            local function measure(t, opt) t:log(opt.bytes) end
            return {
              name = "right", options = { size = { type = "integer", default = 1 } },
              cases = {
                { "one", measure },
                { "two", function(t, opt) print(pcall(measure, t, { bytes = opt.size })) end },
              },
            }
            """#
        ),
        (
            "a helper that gets the options and a table",
            #"""
            local function show(t, opt) t:log(opt.size) end
            return {
              name = "right", options = { size = { type = "integer", default = 1 } },
              cases = { { "two", function(t, opt)
                show(t, opt)
                show(t, { size = 2 })
              end } },
            }
            """#
        ),
        (
            "a value whose type is tested",
            #"""
            local function show(x)
              if type(x) == "table" then return x.name end
              if math.type(x) == "integer" then return x + 1 end
              return x:upper()
            end
            print(show("a"))
            """#
        ),
        (
            "a number whose type is tested",
            #"""
            local function show(x)
              local kind = type(x)
              return kind == "string" and x:upper() or kind == "table" and x[1].name or x()
            end
            print(show(1))
            """#
        ),
        (
            "an option whose type is tested",
            #"""
            return {
              name = "right", options = { size = { type = "integer", default = 1 } },
              cases = { { "one", function(t, opt)
                local size = type(opt.size) == "string" and opt.size:upper() or opt.size
                t:log(size)
              end } },
            }
            """#
        ),
        (
            "a field that is added to a list and to a result",
            #"""
            local vfio = require "vfio"
            local devices = vfio.devices()
            devices.count = #devices
            print(devices.count)
            """#
        ),
        (
            "a function that makes what is called later",
            #"""
            local expect = require "expect"
            local function maker(n) return function() error({ name = "EINVAL", n = n }) end end
            expect.errno("EINVAL", maker(1))
            print(pcall(maker(2)))
            """#
        ),
        (
            "a table with fields that a function adds to several",
            #"""
            local function fill(t, value) t.value = value end
            local a, b = { value = "text" }, {}
            fill(a, { name = "x" })
            fill(b, { name = "y" })
            print(a.value.name, b.value.name, b.values)
            """#
        ),
        (
            "a table that functions fill, one by way of others",
            #"""
            local vfio = require "vfio"
            local function a(t) t.ranges = { { offset = 0, length = 4096 } } end
            local function b(t) a(t) end
            local function c(t) b(t) end
            local function d(t) c(t) end
            local function e(t) d(t) end
            local function f(t) e(t) end
            local request = { region_index = 2 }
            f(request)
            print(vfio.open("0000:01:00.0"):export_dmabuf(request), request.range)
            """#
        ),
        (
            "a table that is used before a key is added to it",
            #"""
            local vfio = require "vfio"
            local dev = vfio.open("0000:01:00.0")
            local request = { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
            local buf = dev:export_dmabuf(request)
            request.buf = buf
            print(request.buf)
            """#
        ),
        (
            "a table whose key is set in one branch and passed in the other",
            #"""
            local vfio = require "vfio"
            local dev = vfio.open("0000:01:00.0")
            local request = { region_index = "none", ranges = { { offset = 0, length = 4096 } } }
            request.region_index = 2
            if dev:address() == "" then
              request.why = "none"
              print(request.why)
            else
              print(dev:export_dmabuf(request))
            end
            """#
        ),
        (
            "expected failures of cases that a loop makes",
            #"""
            local cases = {}
            for _, size in ipairs { 64, 128 } do
              cases[#cases + 1] = { "size " .. size, function(t) t:log(size) end }
            end
            return { name = "right", expected_failures = { { case = "size 64", reason = "known" } }, cases = cases }
            """#
        ),
        (
            "the fixture's options, and one that is added",
            #"""
            local fixture = require "fixture"
            return {
              name = "right", options = fixture.exporter_options { pages = { type = "integer", default = 1 } },
              effects = { "open" },
              cases = { { "a case", function(t, opt)
                local f <close> = fixture.vfio(opt)
                t:log(("%d %d %s %s"):format(opt.pages, opt.region, opt.exporter, f))
              end } },
            }
            """#
        ),
    ]

    @Test(arguments: texts.indices)
    func hasNoFinding(_ index: Int) throws {
        let right = RightCodeTests.texts[index]
        let found = try Repository.checker().findings(in: Array((right.text + "\n").utf8), folder: "/dev/null")
        #expect(found.map(\.line) == [], "\(right.name)")
    }
}
