/// All known verbs, each described once: one file of this folder for each family. The documentation page "How to add a
/// verb" shows an example.
public enum Verbs {
    /// All of them.
    public static let all: [any AnyVerb] =
        devices + protectionDomains + memoryRegions + dmaHandles + completionQueues + queuePairs + sharedReceiveQueues
        + addressHandles + deviceMemory + memoryWindows

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.signature.name, $0) })

    /// The verb with that C name; nil for an unknown name.
    public static func named(_ name: String) -> (any AnyVerb)? { byName[name] }
}
