import LuaKit

extension ScenarioRun {
    /// A case's failure, of what ended it first and what failed while that was closed; and the rest, nil for none.
    func failures(_ first: ErrorValue?) -> (ErrorValue?, [FurtherFailure]?) {
        var closing = state.takeFailuresOfClosing()
        let collecting = seat == nil ? state.takeFailuresOfCollecting() : []
        // To skip is no failure, and one that reached nobody is the case's.
        let isFailing = first.map { $0.kind != "skip" } ?? false
        let error = isFailing || closing.isEmpty ? first : closing.removeFirst()
        // A script that is told to stop hears it again at each line that it closes something with.
        closing.removeAll { $0.kind == error?.kind && ["interrupt", "timeout", "output"].contains($0.kind) }
        let further =
            closing.map { FurtherFailure("while closing", $0) }
            + collecting.map { FurtherFailure("while closing what it left", $0) }
        return (error, further.isEmpty ? nil : further)
    }

    /// What failed while the state was closed, or the collector closed what a script left.
    var failuresOfEnd: [String] {
        (state.failuresWhileCollecting + state.failuresOfFinalizers).map(\.line)
    }

    /// A finalizer of the script's own that fails is a failure as any other.
    var hasFailedAtEnd: Bool { !state.failuresOfFinalizers.isEmpty }
}
