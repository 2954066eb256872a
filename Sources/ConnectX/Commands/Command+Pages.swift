/// Pages that the driver lends to the function. The function has memory of its own, and only keeps account of them.
extension Command {
    private enum Layout {
        static let wanted = Field("query_pages_out.num_pages", bit: 0x60, width: 32)
        static let count = Field("manage_pages_in.input_num_entries", bit: 0x60, width: 32)
        static let returned = Field("manage_pages_out.output_num_entries", bit: 0x40, width: 32)
        static let given = Area("manage_pages_in.pas", at: 16, count: 0)
        static let taken = Area("manage_pages_out.pas", at: 16, count: 0)
    }

    /// The stages of QUERY_PAGES, and how many pages the function asks for at boot and before INIT_HCA.
    private enum Stage {
        static let boot = 1
        static let initialization = 2
        static let regular = 3
        static let pages = [boot: 16, initialization: 64]
    }

    /// The most pages that the function accepts.
    private static let mostPages = 1024

    static let pages: [Command] = [
        Command(0x107, "QUERY_PAGES", after: .enabled) { (hca, input, output) throws(CommandFailure) in
            let stage = input[int: CommandHeader.modifier]
            guard Stage.boot...Stage.regular ~= stage else { throw CommandFailure(.badParameter, "no such stage") }
            // Negative are pages that the driver shall take back.
            let wanted = Stage.pages[stage] ?? -hca.lentPages.count
            output[Layout.wanted] = UInt64(UInt32(truncatingIfNeeded: wanted))
        },
        Command(0x108, "MANAGE_PAGES", after: .enabled) { (hca, input, output) throws(CommandFailure) in
            let count = input[int: Layout.count]
            switch input[CommandHeader.modifier] {
            case 0: break  // the driver has no memory to give
            case 1:
                let given = input[Layout.given]
                guard given.count / 8 >= count else { throw CommandFailure(.badInputLength, "fewer pages than told") }
                guard hca.lentPages.count + count <= mostPages else {
                    throw CommandFailure(.limitExceeded, "more pages than were asked for")
                }
                hca.lentPages += (0..<count).map { given.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
            case 2:
                let taken = output[Layout.taken]
                let returned = min(count, hca.lentPages.count)
                guard taken.count / 8 >= returned else {
                    throw CommandFailure(.badOutputLength, "no room for the pages")
                }
                output[Layout.returned] = UInt64(returned)
                for (place, page) in hca.lentPages.prefix(returned).enumerated() {
                    taken.storeBytes(of: page, toByteOffset: place * 8, as: UInt64.self)
                }
                hca.lentPages.removeFirst(returned)
            default: throw CommandFailure(.badParameter, "neither gives nor takes pages")
            }
        },
    ]
}
