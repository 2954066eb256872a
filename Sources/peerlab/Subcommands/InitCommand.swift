import ArgumentParser
import Commands
import Glibc
import Kernel
import Runner

/// `peerlab init`
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make a folder with a first scenario, for an editor that knows the functions.",
        discussion: """
            Writes first.lua, which runs on the simulated bench, .luarc.json, by which lua-language-server finds the modules and \
            their functions, and .luacheckrc. A file that exists already is never replaced: then nothing is written.
            """)

    @ArgumentParser.Argument(help: "The folder, made where it does not exist.")
    var folder: String

    func run() throws {
        guard let stdlib = ShippedFolders.stdlib(extra: []).first.flatMap(resolved) else {
            throw ValidationError("the stdlib is not found beside this program: name its folder in PEERLAB_STDLIB")
        }
        let settings = EditorSettings(library: [stdlib])
        let files: [(name: String, content: [UInt8])] = [
            ("first.lua", Array(InitCommand.scenario.utf8)),
            (".luarc.json", try JSONText(pretty: true).encode(settings) + [0x0a]),
            (".luacheckrc", Array(InitCommand.luacheck.utf8)),
        ]
        let place = folder.hasSuffix("/") && folder.count > 1 ? String(folder.dropLast()) : folder
        guard mkdir(place, 0o777) == 0 || errno == EEXIST else { throw Failure("mkdir", Errno(errno), object: place) }
        let existing = files.map { "\(place)/\($0.name)" }.filter { path in
            var status = stat()
            return lstat(path, &status) == 0
        }
        guard existing.isEmpty else {
            throw ValidationError(
                "\(existing.joined(separator: ", ")) exists already, and is not replaced; nothing was written")
        }
        for file in files { try InitCommand.create("\(place)/\(file.name)", file.content) }
        tell(place, stdlib)
    }

    /// Makes a file that must not exist.
    private static func create(_ path: String, _ content: [UInt8]) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        defer { close(descriptor) }
        guard writeAll(content, to: descriptor) else { throw Failure("write", Errno(errno), object: path) }
    }

    private func resolved(_ folder: String) -> String? {
        guard let path = realpath(folder, nil) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    private func tell(_ place: String, _ stdlib: String) {
        let steps = [
            ("peerlab run \(place)/first.lua", "runs it on the simulated bench"),
            ("peerlab check \(place)/first.lua", "finds mistakes without running it"),
            ("peerlab plan \(place)/first.lua", "what a run on this machine would need and change"),
            ("peerlab help scenario", "what its table may have"),
            ("peerlab help vfio", "what a module offers"),
        ]
        let width = steps.map(\.0.count).max() ?? 0
        print("made \(place)/first.lua, .luarc.json, .luacheckrc", to: STDOUT_FILENO)
        print("next:", to: STDOUT_FILENO)
        for (command, purpose) in steps {
            print("  \(command)\(String(repeating: " ", count: width - command.count))  \(purpose)", to: STDOUT_FILENO)
        }
        print(
            "an editor with lua-language-server completes and explains names there (from \(stdlib))", to: STDOUT_FILENO)
    }

    private static let scenario = """
        -- A first scenario. It exports a page of a device's BAR as a dma-buf, as any importer would get it.
        --   peerlab run first.lua
        --   peerlab run --set length=64K first.lua
        local vfio, expect = require "vfio", require "expect"

        ---@type scenario
        return {
          name = "first",
          about = "a part of a BAR is exported as a dma-buf",
          options = {
            exporter = { type = "pci", default = "auto", memory = "64K", about = "device whose BAR is exported" },
            region = { type = "integer", default = 2, min = 0, max = 5, about = "the BAR" },
            length = { type = "size", default = "4K", min = 1, about = "bytes to export, whole pages" },
          },
          -- Where the bench lacks one of these, the scenario is skipped and says why.
          needs = { "vfio.dma_buf" },
          -- What it changes outside the script; all else is refused.
          effects = { "open" },
          cases = {
            { "the buffer has the range's size", function(t, opt)
              -- <close> closes a variable's object at the end of its block, also after an error.
              local dev <close> = vfio.open(opt.exporter)
              local buf <close> = dev:export_dmabuf {
                region_index = opt.region, ranges = { { offset = 0, length = opt.length } },
              }
              expect.equal(buf:length(), opt.length, "length")
              t:log(("%d bytes of %s"):format(buf:length(), opt.exporter))
            end },

            { "a range that is not made of whole pages is refused", function(_, opt)
              local dev <close> = vfio.open(opt.exporter)
              expect.errno("EINVAL", dev.export_dmabuf, dev, {
                region_index = opt.region, ranges = { { offset = 0, length = 100 } },
              })
            end },
          },
        }

        """

    private static let luacheck = """
        -- The globals that a scenario has: Lua 5.4's, without those that reach beyond it.
        std = "lua54"
        not_globals = { "debug", "dofile", "io", "loadfile", "os", "package" }
        max_line_length = false
        -- A name that begins with "_" is for its <close> alone; a case need not use what it gets.
        ignore = { "211/_.*", "212" }

        """
}

/// Settings of lua-language-server.
private struct EditorSettings: Encodable {
    let library: [String]

    enum CodingKeys: String, CodingKey {
        case version = "runtime.version"
        case builtin = "runtime.builtin"
        case library = "workspace.library"
        case checkThirdParty = "workspace.checkThirdParty"
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode("Lua 5.4", forKey: .version)
        // Not "package", which `require` comes with there.
        let absent = ["debug", "io", "os"]
        try container.encode(Dictionary(uniqueKeysWithValues: absent.map { ($0, "disable") }), forKey: .builtin)
        try container.encode(library, forKey: .library)
        try container.encode(false, forKey: .checkThirdParty)
    }
}
