import LuaKit

extension RoleRun {
    /// A case's failure, of what ended it first and what failed while that was closed; and the rest, nil for none.
    func failures(_ first: ErrorValue?) -> (ErrorValue?, [FurtherFailure]?) {
        var closing = state.takeFailuresOfClosing() + takeFailuresOfOwnFinalizers()
        let collecting = rendezvous == nil ? state.takeFailuresOfCollecting() : []
        // To skip is no failure, and one that reached nobody is the case's.
        let isFailing = first.map { $0.kind != .skip } ?? false
        let error = isFailing || closing.isEmpty ? first : closing.removeFirst()
        // A script that is told to stop hears it again at each line that it closes something with.
        var told = Set([error?.kind].compactMap { $0 })
        closing.removeAll { RoleRun.kindsOfStops.contains($0.kind) && !told.insert($0.kind).inserted }
        let further =
            closing.map { FurtherFailure("while closing", withLimit($0)) }
            + collecting.map { FurtherFailure("while closing what it left", $0) }
        return (error.map(withLimit), further.isEmpty ? nil : further)
    }

    /// What ends every script alike, whatever it does.
    static let kindsOfStops: Set<ErrorKind> = [.interrupt, .timeout, .output]

    /// An error that says that time is over says which.
    private func withLimit(_ error: ErrorValue) -> ErrorValue {
        guard error.kind == .timeout, let limit else { return error }
        var error = error
        error.message += ": \(limit)"
        return error
    }

    /// What finalizers of objects raised that the case has made which ends now. Others come whenever Lua collects, and are no
    /// failure of the case that happens to run.
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

    /// What finalizers raised that is no case's, up to the end.
    func failuresOfNoCase() -> [ErrorValue] {
        strayFailures += state.takeFailuresOfFinalizers().map(stray)
        return strayFailures
    }
}
