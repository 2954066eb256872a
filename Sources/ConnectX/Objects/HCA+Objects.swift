/// Who uses an object; what is used cannot be destroyed.
extension HCA {
    func isInUse(doorbellPage number: Int) -> Bool {
        events.table.contains { $0.uar == number }
    }

    func isInUse(protectionDomain number: Int) -> Bool { false }

    func isInUse(xrcDomain number: Int) -> Bool { false }

    func isInUse(eventQueue number: Int) -> Bool { false }

    func keyContext(_ index: UInt32) -> [UInt8]? { nil }

    func writeDump(_ bytes: [UInt8], key: UInt32, address: UInt64) throws(CommandFailure) {}
}
