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
        Mistake(
            "what a shipped module's annotations say of its results",
            #"""
            local pair, scope, fixture = require "rdma_pair", require "scope", require "fixture"
            local vfio = require "vfio"
            return {
              name = "broken", roles = { "a", "b" }, options = fixture.nic_options(), effects = { "open" },
              cases = { { "a case", function(t, opt)
                local side <close> = pair.connect(t, { nic = opt.nic })
                side.qpp:close()
                side.qp:post_sendd {}
                t:log(side.peer.ad)
                for _, qp in ipairs(side.qps) do qp:modfy {} end
                local opened <close> = scope.open()
                local dev = opened:keep(vfio.open(opt.exporter))
                dev:exprt_dmabuf {}
                opened:kep(dev)
                local f <close> = fixture.nic(opt)
                f.pd:reg_mrr {}
                f:exporrt { 0, 1 }
              end } },
            }
            """#,
            #"7:10: error: rdma_pair.side has no 'qpp'; did you mean 'qp'?"#,
            #"8:13: error: queue pair has no 'post_sendd'; did you mean 'post_send'?"#,
            #"9:21: error: this table has no 'ad'"#,
            #"10:41: error: queue pair has no 'modfy'"#,
            #"13:9: error: vfio device has no 'exprt_dmabuf'; did you mean 'export_dmabuf'?"#,
            #"14:12: error: scope.scope has no 'kep'; did you mean 'keep'?"#,
            #"16:10: error: protection domain has no 'reg_mrr'; did you mean 'reg_mr'?"#,
            #"17:7: error: fixture.exporter has no 'exporrt'; did you mean 'export'?"#),
        Mistake(
            "arguments of a function that is expected to fail with an errno",
            #"""
            local expect, vfio = require "expect", require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(_, opt)
                local dev <close> = vfio.open(opt.exporter)
                expect.errno("EINVAL", dev.export_dmabuf, dev, { region = 2, ranges = { { offset = 0, lenght = 1 } } })
                expect.errno("ENODEV", vfio.open)
                expect.errno("ENODEV", dev.reset)
                expect.errno("ENODEV", vfio.open, opt.exporter)
              end } },
            }
            """#,
            #"6:54: error: device:export_dmabuf: unknown key 'region' in 'request': since version 0.2 it is called 'region_index'"#,
            #"6:77: error: device:export_dmabuf: 'request.ranges[1].length' is missing; it must be a size (an integer, or text such as "64K": K, M, G, T)"#,
            #"6:91: error: device:export_dmabuf: unknown key 'lenght' in 'request.ranges[1]'; did you mean 'length'?"#,
            #"7:28: error: vfio.open: 'address' is missing; it must be a string"#,
            #"8:28: error: device:reset: it is a method and has no object here; call it with a colon, device:reset(...)"#
        ),
        Mistake(
            "functions that shipped modules call",
            #"""
            local pair, scope, vfio = require "rdma_pair", require "scope", require "vfio"
            return {
              name = "broken", roles = { "a", "b" }, effects = { "open", "dma" },
              options = { nic = { type = "rdma", default = "auto" }, exporter = { type = "pci", default = "auto" } },
              cases = { { "a case", function(t, opt)
                local opened <close> = scope.open(function(self)
                  self.dev = self:kep(vfio.open(opt.exporter))
                end)
                local function register(side)
                  return side.pd:reg_dmabuf_mr { dmabuf = opened.buf, lenght = "4K", access = { "local_write" } }
                end
                local side <close> = pair.connect(t, { nic = opt.nic, register = register })
                t:log(tostring(side))
              end } },
            }
            """#,
            #"7:23: error: scope.scope has no 'kep'; did you mean 'keep'?"#,
            #"10:36: error: pd:reg_dmabuf_mr: 'request.length' is missing; it must be a size (an integer, or text such as "64K": K, M, G, T)"#,
            #"10:59: error: pd:reg_dmabuf_mr: unknown key 'lenght' in 'request'; did you mean 'length'?"#),
        Mistake(
            "arguments of a shipped module's functions, against its annotations",
            #"""
            local pair, steering, vfio = require "rdma_pair", require "steering", require "vfio"
            return {
              name = "broken", roles = { "a", "b" }, effects = { "open" },
              options = { nic = { type = "rdma", default = "auto" }, exporter = { type = "pci", default = "auto" } },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                local first <close> = pair.connect(t, { nicc = opt.nic, length = 3.5 })
                local second <close> = pair.connect(opt, { nic = opt.nic, queue_pairs = "two", register = false })
                local plan = { t = t, nic = opt.nic, mr = dev, kind = "raed" }
                t:log(tostring(steering.seen(plan)) .. tostring(pair.connect(t)) .. tostring(first) .. tostring(second))
              end } },
            }
            """#,
            #"7:43: error: rdma_pair.connect: 'with.nic' is missing; it must be a string"#,
            #"7:45: error: rdma_pair.connect: unknown key 'nicc' in 'with'; did you mean 'nic'?"#,
            #"7:70: error: rdma_pair.connect: 'with.length' must be an integer or a string, not a number"#,
            #"8:41: error: rdma_pair.connect: 't' must be a case, not a table"#,
            #"8:77: error: rdma_pair.connect: 'with.queue_pairs' must be an integer, not 'two'"#,
            #"9:47: error: steering.seen: 'with.mr' must be a memory region, not a vfio device"#,
            #"9:59: error: steering.seen: 'with.kind' must be one of read, write, not 'raed'"#,
            #"10:53: error: rdma_pair.connect: takes 2 arguments at least, and 1 is given"#),
    ]
}
