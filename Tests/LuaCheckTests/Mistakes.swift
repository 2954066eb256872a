import Testing

/// What new users get wrong: a file's text and its only findings.
struct Mistake {
    let name: String
    let text: String
    let findings: [String]

    init(_ name: String, _ text: String, _ findings: String...) {
        self.name = name
        self.text = text
        self.findings = findings
    }

    static let all: [Mistake] = [
        Mistake(
            "an end too few",
            #"""
            local function f()
              if true then
                return 1
            end
            return { f = f }
            """#,
            #"6:1: error: 'end' is expected here to end the 'function' of line 1, not the end of the file"#),
        Mistake(
            "a string without an end",
            #"""
            local name = "mlx5_0
            return { name = name }
            """#,
            #"1:14: error: this string does not end on its line"#),
        Mistake(
            "an assignment in a condition",
            #"""
            local a = 1
            if a = 1 then
              print(a)
            end
            """#,
            #"2:6: error: 'then' is expected here, not '='; a comparison is written '=='"#),
        Mistake(
            "an operator of another language",
            #"""
            local a = 1
            if a != 1 then print(a) end
            """#,
            #"2:6: error: '!=' is written '~=' in Lua"#),
        Mistake(
            "a goto without its label",
            #"""
            goto done
            """#,
            #"1:1: error: no visible label 'done' for <goto> at line 1"#),
        Mistake(
            "a constant that is assigned",
            #"""
            local SIZE <const> = 4
            SIZE = 8
            print(SIZE)
            """#,
            #"2:1: error: attempt to assign to const variable 'SIZE'"#),
        Mistake(
            "an assignment of another language",
            #"""
            local a = 1
            a += 1
            print(a)
            """#,
            #"2:3: error: '=' or a call is expected here, not '+'"#),
        Mistake(
            "a misspelt variable",
            #"""
            local device = 1
            print(devise, device)
            """#,
            #"2:7: error: undeclared variable 'devise'; did you mean 'device'?"#),
        Mistake(
            "a module that is not required",
            #"""
            print(vfio.devices())
            """#,
            #"1:7: error: undeclared variable 'vfio'; write: local vfio = require "vfio""#),
        Mistake(
            "a global that is assigned",
            #"""
            count = 1
            """#,
            #"1:1: error: assignment to undeclared variable 'count'; write 'local count'"#),
        Mistake(
            "a library that scripts do not have",
            #"""
            print(os.getenv("HOME"))
            """#,
            #"1:7: error: undeclared variable 'os': scripts have nothing that reaches beyond them"#),
        Mistake(
            "a module that does not exist",
            #"""
            local vfio = require "vfoi"
            print(vfio)
            """#,
            #"1:22: error: require: no module 'vfoi'; did you mean 'vfio'?"#),
        Mistake(
            "a function that a module does not have",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                print(vfio.opne("0000:01:00.0"))
              end } },
            }
            """#,
            #"7:16: error: module vfio has no 'opne'; did you mean 'open'?"#),
        Mistake(
            "a function of the stdlib that does not exist",
            #"""
            local expect = require "expect"
            expect.equals(1, 1)
            """#,
            #"2:8: error: module expect has no 'equals'; did you mean 'equal'?"#),
        Mistake(
            "a library function that does not exist",
            #"""
            print(string.trim(" a "))
            """#,
            #"1:14: error: string has no 'trim'"#),
        Mistake(
            "a method that does not exist",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                dev:readd(0, 0, 4)
              end } },
            }
            """#,
            #"7:9: error: vfio device has no 'readd'; did you mean 'read'?"#),
        Mistake(
            "a method's name before 0.2",
            #"""
            local rdma = require "rdma"
            local cq = rdma.open("mlx5_0"):create_cq(8)
            cq:request_event()
            """#,
            #"3:4: error: completion queue has no 'request_event': since version 0.2 it is called 'req_notify'"#),
        Mistake(
            "a key's name before 0.2",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                local buf <close> = dev:export_dmabuf {
                  region = 2,
                  ranges = { { offset = 0, length = "4K" } },
                }
                t:log(buf:length())
              end } },
            }
            """#,
            #"8:7: error: device:export_dmabuf: unknown key 'region' in 'request': since version 0.2 it is called 'region_index'"#
        ),
        Mistake(
            "a field's name before 0.2",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev:info().regions)
              end } },
            }
            """#,
            #"7:22: error: vfio.info has no 'regions': since version 0.2 it is called 'num_regions'"#),
        Mistake(
            "a field that does not exist",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev:region_info(2).sise)
              end } },
            }
            """#,
            #"7:30: error: vfio.region has no 'sise'; did you mean 'size'?"#),
        Mistake(
            "a field of an element",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                for _, f in ipairs(vfio.devices()) do t:log(f.adress) end
              end } },
            }
            """#,
            #"7:51: error: vfio.function has no 'adress'; did you mean 'address'?"#),
        Mistake(
            "a method with a dot",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev.read(0, 0, 4))
              end } },
            }
            """#,
            #"7:11: error: device:read: it is a method and has no object here; call it with a colon, device:read(...)"#),
        Mistake(
            "a module's function with a colon",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                local other <close> = vfio:open(opt.exporter)
                t:log(other:fd())
              end } },
            }
            """#,
            #"7:32: error: vfio.open: it is no method; call it with a dot, vfio.open(...)"#),
        Mistake(
            "the case with a dot",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t.log("done")
              end } },
            }
            """#,
            #"7:5: error: case:log: it has no case here; call it with a colon, t:log(...)"#),
        Mistake(
            "a method that the case does not have",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:logg("done")
              end } },
            }
            """#,
            #"7:7: error: module case has no 'logg'; did you mean 'log'?"#),
        Mistake(
            "an argument that is missing",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev:read(2, 0))
              end } },
            }
            """#,
            #"7:15: error: device:read: 'length' is missing; it must be a size (an integer, or text such as "64K": K, M, G, T)"#
        ),
        Mistake(
            "an argument too many",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev:address(2))
              end } },
            }
            """#,
            #"7:23: error: device:address: takes 0 arguments, not 1"#),
        Mistake(
            "a string where a number belongs",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev:read("BAR2", 0, 4))
              end } },
            }
            """#,
            #"7:20: error: device:read: 'region' must be an integer, not 'BAR2'"#),
        Mistake(
            "a size that is none",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev:read(2, 0, "4k"))
              end } },
            }
            """#,
            #"7:26: error: device:read: 'length' must be a size (an integer, or text such as "64K": K, M, G, T), not '4k'"#
        ),
        Mistake(
            "a number out of its range",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(dev:read(-1, 0, 4))
              end } },
            }
            """#,
            #"7:20: error: device:read: 'region' must be 0 to 4294967295, not -1"#),
        Mistake(
            "a list where one table is given",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { offset = 0, length = 4096 } }
                t:log(buf:fd())
              end } },
            }
            """#,
            #"7:74: error: device:export_dmabuf: 'request.ranges' must be a list, and has the key 'offset'; write { { offset = ... } }, a table for each element"#
        ),
        Mistake(
            "a key that is missing",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                local buf <close> = dev:export_dmabuf { region_index = 2 }
                t:log(buf:fd())
              end } },
            }
            """#,
            #"7:43: error: device:export_dmabuf: 'request.ranges' is missing; it must be a list"#),
        Mistake(
            "a name that is none of the choices",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
                buf:set_tph { st = 1, ph = "targte" }
              end } },
            }
            """#,
            #"8:32: error: dmabuf:set_tph: 'hint.ph' must be one of bidirectional, requester, target, target-priority, not 'targte'; did you mean 'target'?"#
        ),
        Mistake(
            "flags as one string",
            #"""
            local rdma, memory = require "rdma", require "memory"
            local pd = rdma.open("mlx5_0"):alloc_pd()
            print(pd:reg_mr { memory = memory.alloc(4096), access = "local_write" })
            """#,
            #"3:57: error: pd:reg_mr: 'request.access' must be a list of names, not a string; write { "local_write" }"#),
        Mistake(
            "an object of another class",
            #"""
            local rdma = require "rdma"
            local context = rdma.open("mlx5_0")
            print(context:alloc_pd():create_qp { send_cq = context })
            """#,
            #"3:48: error: pd:create_qp: 'request.send_cq' must be a completion queue, not a rdma context"#),
        Mistake(
            "an option that is not declared",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(opt.size)
              end } },
            }
            """#,
            #"7:15: error: the scenario declares no option 'size'"#),
        Mistake(
            "an option that is never read",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" }, size = { type = "size", default = "4K" } },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
              end } },
            }
            """#,
            #"3:79: warning: the option 'size' is declared and never read"#),
        Mistake(
            "an option of an unknown type",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" }, n = { type = "int", default = 1 } },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address() .. opt.n)
              end } },
            }
            """#,
            #"3:92: error: options.n.type 'int' is unknown"#),
        Mistake(
            "an option's default that is out of range",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci" }, n = { type = "integer", min = 1, default = 0 } },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(opt.n)
              end } },
            }
            """#,
            #"3:104: error: options.n.default: option 'n' must be 1 to 9223372036854775807, not '0'"#),
        Mistake(
            "an option's misspelt key",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci" }, n = { type = "integer", defualt = 0 } },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                t:log(opt.n)
              end } },
            }
            """#,
            #"3:85: error: unknown key 'defualt' in options.n; did you mean 'default'? (known: about, default, id, max, memory, min, type, values)"#
        ),
        Mistake(
            "a need that does not exist",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci" } }, needs = { "vfio.dmabuf" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
              end } },
            }
            """#,
            #"3:73: error: unknown need 'vfio.dmabuf'; did you mean 'vfio.dma_buf'? (known: vfio, vfio.dma_buf, vfio.dma_buf_tph, iommufd, type1, rdma, rdma.reg_dmabuf_mr, rdma.dmah, importer)"#
        ),
        Mistake(
            "an effect that does not exist",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci" } }, effects = { "open", "write" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
              end } },
            }
            """#,
            #"3:83: error: unknown effect 'write' (known: open, region_write, config_write, reset, dma, raw)"#),
        Mistake(
            "an effect that is not declared",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci", default = "auto" } }, effects = { "open" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
                dev:store(2, 0, 4, 1)
              end } },
            }
            """#,
            #"7:9: error: device:store needs the effect 'region_write', which the scenario's 'effects' do not declare"#),
        Mistake(
            "a tag that is no word",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci" } }, tags = { "very slow" },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
              end } },
            }
            """#,
            #"3:72: error: 'tags' must be words of letters, digits, '-', '_' and '.'"#),
        Mistake(
            "a matrix of no option",
            #"""
            local vfio = require "vfio"
            return {
              name = "broken", options = { exporter = { type = "pci" } }, matrix = { size = { "64", "4K" } },
              cases = { { "a case", function(t, opt)
                local dev <close> = vfio.open(opt.exporter)
                t:log(dev:address())
              end } },
            }
            """#,
            #"3:74: error: unknown key 'size' in the matrix (known: exporter)"#),
        Mistake(
            "a misspelt key of the scenario",
            #"""
            return {
              name = "broken", abuot = "nothing",
              cases = { { "a", function(t) t:log("a") end } },
            }
            """#,
            #"2:20: error: unknown key 'abuot' in the scenario; did you mean 'about'? (known: about, cases, concerns, effects, expected, expected_failures, matrix, memory, name, needs, options, roles, seen, tags, timeout)"#
        ),
        Mistake(
            "a scenario without cases",
            #"""
            return { name = "broken", about = "nothing", tags = { "tph" } }
            """#,
            #"1:8: error: the scenario has no 'cases': a list, of which each element is { "what is shown", function(t, opt) ... end }"#
        ),
        Mistake(
            "a case that is no list",
            #"""
            return { name = "broken", cases = { function(t) t:log("a") end } }
            """#,
            #"1:37: error: a case is { "what is shown", function(t, opt) ... end }, not a function"#),
        Mistake(
            "a case twice",
            #"""
            return { name = "broken", cases = {
              { "a", function(t) t:log("a") end },
              { "a", function(t) t:log("b") end },
            } }
            """#,
            #"3:3: error: there is a case "a" already"#),
        Mistake(
            "a variable that is never read",
            #"""
            local vfio, rdma = require "vfio", require "rdma"
            print(#vfio.devices())
            """#,
            #"1:13: warning: the variable 'rdma' is never read"#),
        Mistake(
            "a key twice",
            #"""
            local t = { a = 1, b = 2, a = 3 }
            print(t)
            """#,
            #"1:27: warning: the key 'a' is given twice in this table; the last one counts"#),
        Mistake(
            "a check with an argument too few",
            #"""
            local expect = require "expect"
            expect.equal(1)
            """#,
            #"2:1: error: expect.equal: takes 2 arguments at least, and 1 is given"#),
        Mistake(
            "no argument where one is needed",
            #"""
            local expect = require "expect"
            expect.truthy()
            """#,
            #"2:1: error: expect.truthy: takes 1 argument at least, and 0 are given"#),
        Mistake(
            "an argument of a helper",
            #"""
            local vfio = require "vfio"
            local function tag(buf)
              buf:set_tag { st = 1 }
            end
            local dev = vfio.open("0000:01:00.0")
            tag(dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } })
            """#,
            #"3:7: error: dma-buf has no 'set_tag'; did you mean 'set_tph'?"#),
        Mistake(
            "a timeout that is no time",
            #"""
            return { name = "broken", timeout = "soon", cases = { { "a", function(t) t:log("a") end } } }
            """#,
            #"1:37: error: 'timeout' must be a millisecond to 100 days, as seconds or text such as "90s" or "5m""#),
    ]
}
