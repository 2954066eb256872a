import FoundationEssentials
import Testing

@testable import peerlab

/// Every option of every command, on every bench: it does something, or is refused before anything runs.
@Suite struct OptionTableTests {
    private struct Dump: Decodable {
        struct Command: Decodable {
            let commandName: String
            let subcommands: [Command]?
            let arguments: [Argument]?
        }
        struct Argument: Decodable {
            struct Name: Decodable {
                let kind: String
                let name: String
            }
            let kind: String
            let names: [Name]?
        }
        let command: Command
    }

    /// A command's options as the parser knows them, without those that all programs have; whether each takes a value.
    private static func parsed() throws -> [String: [String: Bool]] {
        let output = Shell.run("peerlab --experimental-dump-help").output
        let dump = try JSONDecoder().decode(Dump.self, from: Data(output.utf8))
        var commands: [String: [String: Bool]] = [:]
        for command in dump.command.subcommands ?? [] {
            var options: [String: Bool] = [:]
            for argument in command.arguments ?? [] where argument.kind != "positional" {
                guard let name = argument.names?.first(where: { $0.kind.hasPrefix("long") || $0.name.count == 1 })
                else {
                    continue
                }
                let long = argument.names?.first { $0.kind.hasPrefix("long") } ?? name
                if !["help", "version"].contains(long.name) { options[long.name] = argument.kind == "option" }
            }
            commands[command.commandName] = options
        }
        return commands
    }

    /// Values that the parser takes.
    private static let values = [
        "lab-machine": "bridge", "lab-clock": "host", "lab-accel": "tcg", "lab-nic": "connectx", "lab-tph": "v2",
        "lab-exporter": "size=1M", "seed": "1", "runs": "8", "repeat": "1",
        "jobs": "1", "retries": "0", "failure-trace": "1", "budget": "1", "color": "never", "slurm": "1", "cpu": "0",
        "label": "x", "set": "a=1", "set-b": "a=1", "path": "a=b", "tph-abi": "auto", "timeout": "1s", "memory": "64M",
        "shard": "1/1", "tag": "a", "matrix": "a=1", "allow": "all", "deny": "raw", "tlp": "-", "bind": "auto",
        "bench": "sim", "inject": "ibv_reg_mr:ENOMEM", "until": "line == 1",
    ]

    private static func words(_ option: String, takesValue: Bool) -> String {
        takesValue ? "--\(option)=\(values[option] ?? "none")" : "--\(option)"
    }

    @Test func everyOptionHasARow() throws {
        let commands = try Self.parsed()
        #expect(commands.count >= 14)
        for (command, options) in commands {
            let unknown = Set(options.keys).symmetricDifference(OptionTable.options(of: command))
            #expect(unknown.isEmpty, "\(command): \(unknown.sorted())")
        }
    }

    @Test func whatDoesNothingIsRefusedBeforeAnythingRuns() throws {
        var refused = 0
        for (command, options) in try Self.parsed() {
            for (option, takesValue) in options where option != "bench" && option != "on" {
                for bench in OptionTable.Kind.allCases {
                    guard OptionTable.refusal(of: option, command, on: bench) != nil else { continue }
                    let place = command == "minimise" ? "--on" : "--bench"
                    let words = Self.words(option, takesValue: takesValue)
                    let file = ["ab": "none.lua none.lua", "doctor": "", "repl": ""][command] ?? "none.lua"
                    let run = Shell.run("peerlab \(command) \(place) \(bench.rawValue) \(words) \(file)")
                    #expect(
                        run.status == 2 && run.output.hasPrefix("Error: --\(option) "),
                        "\(command) \(words): \(run.output)")
                    refused += 1
                }
            }
        }
        #expect(refused > 40)
    }

    @Test(arguments: [
        "batch --resume --jobs 2", "batch --resume --bench host", "batch --resume --rules none",
        "batch --resume --deny raw",
        "batch --list --json x none", "batch --list --retries 1 none", "batch --list --no-store none",
        "batch --slurm 2 --shard 1/2 none", "batch --slurm 2 --html x none", "batch --slurm 2 --store x none",
        "batch --bench lab --lab-share --retries 2 none", "batch --bench lab --lab-share --shuffle none",
        "batch --seed 3 none", "batch --store x --no-store none", "run --bench lab --record x a b",
        "run --bench lab --tlp x a", "run --bench host --tlp x a",
        "batch --trust none", "ab --trust a b",
        "restore --list --forget 01:00.0", "run --trust none.lua", "run --bench host --trust none.lua",
        "replay --set a=1 none", "replay --rules none none", "replay --tph-abi v2 none", "minimise --bench sim none",
        "minimise --allow all none", "export --c - --bench sim none", "plan --deny raw none",
    ])
    func combinationsThatDoNothingAreRefused(_ words: String) {
        let run = Shell.run("peerlab \(words)")
        #expect(run.status == 2 && run.output.hasPrefix("Error: ") && !run.output.contains("bench: "), "\(run.output)")
    }

    /// With the option there is something that is not there without it.
    @Test(arguments: [
        ("run %s $R", "--bench sim:stock", "no TPH"), ("run %s $R", "--set st=1", "region=2 st=1\n"),
        ("run %s $R", "--tph-abi off", "1 skipped"),
        ("run %s D/lib.lua", "--lib D/lib", "loaded"), ("run %s $R", "--deny open", "--deny open"),
        ("run %s $R", "--rules D/rules", "denied"), ("run %s $R", "--trace", "VFIO_DEVICE_FEATURE"),
        ("run %s $R; cat D/out", "--record D/out", "peerlab record 1"),
        ("run %s $R; cat D/out", "--json D/out", "\"tool\""),
        ("run --bench sim:tph-v11 %s scripts/scenarios/tph-wire.lua", "--tlp -", "MWr(64)"),
        ("run %s $R", "--inject ibv_reg_dmabuf_mr:ENOMEM", "refused on purpose"),
        ("run %s $R", "--cpu 60000", "is not here for this program"),
        ("run %s D/random.lua", "--seed 7", "| random 813858772800"),
        ("run %s D/endless.lua", "--timeout 100ms", "its time is over"),
        ("run %s D/greedy.lua", "--memory 32M", "not enough memory"),
        ("run --bench sim:B/drivers.lua %s S/drivers.lua", "--bind auto", "bound 0000:01:00.0"),
        ("run --bench host %s D/raw.lua", "--allow raw", "| true"),
        ("run --bench host %s D/raw.lua", "--rules D/raw", "| true"),
        ("plan %s $R", "--bench sim:stock", "no TPH"), ("plan %s $R", "--set ph=none", "must be one of"),
        ("plan %s D/lib.lua", "--lib D/lib", "1 passed"),
        ("replay %s D/tph", "--bench sim:stock", "not as recorded"),
        ("replay --bench sim:stock %s D/tph", "--loose", ": 4 not as recorded"),
        ("replay %s D/record", "--path /dev/iommu=/dev/none", "differs"),
        ("minimise %s D/tph", "--on sim:stock", "verdict differs"),
        ("minimise %s D/record", "--until 'errno == ENXIO'", "is the failure: errno"),
        ("minimise --until 'errno == EEXIST' %s D/record >/dev/null 2>&1; cat D/out", "-o D/out", "failure: "),
        ("bundle %s D/raw.lua", "--bench sim:stock", "bench: sim:stock"), ("bundle %s $R", "--set st=1", "set: st=1"),
        ("bundle %s $R", "--tph-abi off", "tph-abi: off"), ("bundle %s D/lib.lua", "--lib D/lib", "loaded"),
        ("bundle %s $R", "--deny open", "denied"), ("bundle %s $R", "--rules D/rules", "denied"),
        ("bundle %s D/raw.lua", "--redact", "redacted: "),
        ("bundle %s D/raw.lua >/dev/null 2>&1; cat D/out", "-o D/out", "peerlab bundle 1"),
        ("bundle --bench host %s D/raw.lua", "--allow raw", "| true"),
        ("results show %s D/long", "--memory 32M", "more memory than --memory 32M"),
        ("batch --list %s B/../Batch", "--tag slow --repeat 2", "#2"),
        ("batch --no-store %s B/../Batch/fails.lua", "--deny raw --color always", "[31m"),
        ("batch %s D/raw.lua", "--no-store --shuffle --seed 3", "--seed 3"),
        ("batch --no-store %s $R", "--deny open", "denied"),
        ("batch --no-store %s $R", "--rules D/rules", "denied"),
        ("batch --no-store %s $R", "--set ph=none", "must be one of"),
        ("batch --no-store %s D/endless.lua --jobs 1", "--timeout 150ms", "its time is over: it may take 0.15 s"),
        ("batch --no-store %s D/lib.lua", "--lib D/lib", "1 passed"),
        ("batch --no-store %s $R", "--tph-abi off", "1 skipped"),
        ("ab --runs 8 %s D/raw.lua D/raw.lua", "--bench sim:stock", "no TPH"),
        ("ab --runs 8 %s $R $R", "--set ph=none", "must be one of"),
        ("ab --runs 8 %s $R $R", "--set-b ph=none", "must be one of"),
        ("ab --runs 8 %s $R $R", "--deny open", "denied"),
        ("ab --runs 8 %s D/endless.lua $R", "--timeout 150ms", "0.15 s"),
    ])
    func whatIsTakenDoesSomething(_ command: String, _ option: String, _ effect: String) {
        let made = """
            export D=$(mktemp -d); mkdir $D/lib; echo 'return "loaded"' >$D/lib/extra.lua; echo 'deny open' >$D/rules; \
            echo 'allow raw' >$D/raw; echo 'print(require "extra")' >$D/lib.lua; echo 'while true do end' >$D/endless.lua; \
            echo 'print("random " .. math.random(1 << 40))' >$D/random.lua; \
            echo 'local t = {} for i = 1, 200000 do t[i] = ("x"):rep(400) .. i end' >$D/greedy.lua; \
            echo 'print((pcall(require("sys").memfd, "4K")))' >$D/raw.lua; \
            { printf '{"journal":"peerlab batch","version":"1","arguments":[],"directory":"/","started":"","bench":"",'; \
            printf '"simulated":true}\\n{"tags":["'; head -c 12000000 /dev/zero | tr '\\0' x; printf '"]}\\n'; } >$D/long; \
            peerlab run --record $D/record Tests/Records/many-calls.lua >/dev/null; \
            peerlab run --record $D/tph scripts/scenarios/tph-register.lua >/dev/null
            """
        func output(_ option: String) -> String {
            let words = command.split(separator: "%s", maxSplits: 1).joined(separator: option)
                .replacing("D/", with: "$D/").replacing("B/", with: "Tests/CommandTests/Transcripts/Benches/")
                .replacing("S/", with: "Tests/CommandTests/Transcripts/Scripts/")
            return Shell.run("\(made); R=scripts/scenarios/tph-register.lua; timeout 20 peerlab \(words); rm -r $D")
                .output
        }
        #expect(output(option).contains(effect))
        if !command.contains("endless") { #expect(!output("").contains(effect)) }
    }
}
