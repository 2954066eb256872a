import Bindings
import Kernel
import LuaKit

/// What a run finds: of its options, its cases and its end.
extension ScenarioRun {
    func keep(optionsOf scenario: Scenario, _ resolved: DeviceChoice) {
        var plainValues: [String: String] = [:]
        for option in scenario.options {
            guard let value = resolved.values[option.name] else { continue }
            let text = option.written(self.settings) ?? plainText(value)
            result.options[option.name] = text
            if let plain = option.plain(value), plain != text { plainValues[option.name] = plain }
        }
        result.option_values = plainValues.isEmpty ? nil : plainValues
        let settings = result.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        if !settings.isEmpty { emit("  " + settings.joined(separator: " ")) }
    }

    func record(_ name: String, _ first: ErrorValue?, since start: UInt64, until end: UInt64? = nil) {
        let (error, further) = failures(first)
        let verdict: Verdict
        switch error?.kind {
        case nil: verdict = .pass
        case "skip": verdict = .skip
        case "interrupt": verdict = .interrupted
        case "not_run": verdict = .notRun
        default: verdict = .fail
        }
        let end = end ?? host.realKernel.monotonic()
        var one = CaseResult(name: name, verdict: verdict, duration_ns: end &- start)
        one.message = error.map { verdict == .skip ? $0.message : $0.line }
        if verdict == .fail { one.error = error.map(ErrorFields.init) }
        one.further = further
        one.log = host.log
        if verdict == .fail {
            one.log += openAfter.sorted { $0.key < $1.key }.map {
                "open before it began, as after the case '\($0.value)': \($0.key)"
            }
        }
        one.metrics = host.metrics
        one.distributions = host.distributions
        one.evidence = host.evidence
        one.warnings = host.warnings.isEmpty ? nil : host.warnings
        one.kernel = KernelFindings(expected: host.expectedKernelLog, allowed: host.allowedKernelLog)
        host.clearFindings()
        // Another process watches for itself; a thread is watched by the first role's.
        if link != nil { judgeKernel(&one) }
        if let seat {
            if let why = state.stop { crew?.interrupt(why) }
            let all = seat.end(one)
            guard crew != nil || link != nil else { return }
            one = CaseResult.merged(all, seat.roles, leader: one)
        }
        if link == nil { judgeKernel(&one) }
        add(one)
    }

    /// Closes everything and says what could not be.
    func finished() -> ScenarioResult {
        state.close()
        if !bench.isSimulated { result.environment.merge(host.facts) { before, _ in before } }
        crew?.finish()
        link?.finish(because: result.skipped.first.map { "it skipped the scenario: \($0)" } ?? "it has ended")
        result.random = state.drewRandom || crew?.drewRandom == true ? true : nil
        effects = host.permissions.used.merging(crew?.effects ?? [:]) { Array(Set($0 + $1)) }
        result.left_open = host.realKernel.open + (crew?.open ?? []) + restoreDevices()
        judgeEnd()
        judgeKernelOutside()
        result.modules = loaded.sorted.isEmpty ? nil : loaded.sorted
        result.tph = host.tph.summary
        result.calls_refused = (host.realKernel as? TracingKernel)?.callsRefused ?? 0
        result.faults_unused = (host.realKernel as? TracingKernel)?.faults?.unused ?? []
        result.not_modelled = host.realKernel.notModelled.map { NotModelled(call: $0.call, count: $0.count) }
        if result.skipped.isEmpty || !result.left_open.isEmpty || !result.cases.isEmpty {
            result.verdict = overall()
        }
        for line in Report.ending(result) { emit(line) }
        var whole = result
        whole.cases = []
        tell(.over(whole))
        return result
    }

    private func overall() -> Verdict {
        let verdicts = result.cases.map(\.verdict)
        if verdicts.contains(.interrupted) || state.stop == .interrupt { return .interrupted }
        if verdicts.contains(.fail) || !result.left_open.isEmpty { return .fail }
        return verdicts.contains(.pass) ? .pass : .skip
    }
}
