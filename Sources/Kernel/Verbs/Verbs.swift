/// The verbs that are known, each described once: a file of this folder a family. "How to add a verb" in the documentation
/// goes through one.
public enum Verbs {
    /// All of them.
    public static let all: [any AnyVerb] =
        devices + protectionDomains + memoryRegions + dmaHandles + completionQueues + queuePairs + sharedReceiveQueues
        + addressHandles + deviceMemory + memoryWindows

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.signature.name, $0) })

    /// The verb with that C name; nil where none is known.
    public static func named(_ name: String) -> (any AnyVerb)? { byName[name] }
}
