import ArgumentParser
import LuaCheck
import Runner

/// `--case`
struct CaseOption: ParsableArguments {
    @Option(
        name: .customLong("case"),
        help: ArgumentHelp(
            "Run only the cases with this name, in which * stands for any text; the others are told as not run.",
            valueName: "NAME"))
    var names: [String] = []

    /// nil for all cases.
    func selection(isOneOfMany: Bool) -> CaseSelection? {
        CaseSelection(names, isOneOfMany: isOneOfMany) { LuaChecker.returnsNothing($0) }
    }

    /// The words that pass it on.
    var words: [String] { names.map { "--case=\($0)" } }
}
