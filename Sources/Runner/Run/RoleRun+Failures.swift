import LuaKit

extension RoleRun {
    /// The failure of a case, made of its first error and those of closing; and further failures, nil for none.
    func failures(_ first: ErrorValue?) -> (ErrorValue?, [FurtherFailure]?) {
        var closing = state.takeFailuresOfClosing() + takeFailuresOfOwnFinalizers()
        let collecting = rendezvous == nil ? state.takeFailuresOfCollecting() : []
        // A skip is not a failure: where closing failed then, the first such error fails the case.
        let isFailing = first.map { $0.kind != .skip } ?? false
        let error = isFailing || closing.isEmpty ? first : closing.removeFirst()
        // A stopped script gets the same error again at each line of its clean-up; it is reported once.
        var told = Set([error?.kind].compactMap { $0 })
        closing.removeAll { RoleRun.kindsOfStops.contains($0.kind) && !told.insert($0.kind).inserted }
        let further =
            closing.map { FurtherFailure("while closing", withLimit($0)) }
            + collecting.map { FurtherFailure("while closing what it left", $0) }
        return (error.map(withLimit), further.isEmpty ? nil : further)
    }

    /// Kinds of errors that stop a script from outside.
    static let kindsOfStops: Set<ErrorKind> = [.interrupt, .timeout, .output]

    /// Adds the limit to an error that says that time is over.
    private func withLimit(_ error: ErrorValue) -> ErrorValue {
        guard error.kind == .timeout, let limit else { return error }
        var error = error
        error.message += ": \(limit)"
        return error
    }

    /// Errors of finalizers whose objects the ending case has made. Finalizers of earlier objects run whenever Lua
    /// collects, so their errors are not the current case's.
    private func takeFailuresOfOwnFinalizers() -> [ErrorValue] {
        let failures = state.takeFailuresOfFinalizers()
        let isOwn = { [state] (failure: LuaState.FailureOfFinalizer) in failure.era == state.era }
        strayFailures += failures.filter { !isOwn($0) }.map(stray)
        return failures.filter(isOwn).map(\.error)
    }

    private func stray(_ failure: LuaState.FailureOfFinalizer) -> ErrorValue {
        guard let era = failure.era, caseNames.indices.contains(era - 1) else { return failure.error }
        var error = failure.error
        error.message = "made by the case '\(caseNames[era - 1])': \(error.message)"
        return error
    }

    /// Errors of finalizers that belong to no case, up to the end.
    func failuresOfNoCase() -> [ErrorValue] {
        strayFailures += state.takeFailuresOfFinalizers().map(stray)
        return strayFailures
    }
}
