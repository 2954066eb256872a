import ConnectX
import Testing

@Suite struct FieldTests {
    private static let fields = [
        (0, 8, 0x12), (4, 8, 0x23), (8, 16, 0x3456), (3, 1, 1), (4, 4, 2), (0, 64, 0x1234_5678_9abc_def0),
        (60, 8, 0), (64, 32, 0),
    ]

    @Test(arguments: fields)
    func bitsCountFromTheTop(_ bit: Int, _ width: Int, _ value: Int) {
        let bytes: [UInt8] = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0]
        #expect(bytes[Field("", bit: bit, width: width)] == UInt64(value))
    }

    @Test(arguments: fields)
    func aFieldThatIsSetChangesNoOther(_ bit: Int, _ width: Int, _: Int) {
        for size in [8, 16] {
            for fill: UInt8 in [0, 0xff] {
                var bytes = [UInt8](repeating: fill, count: size)
                bytes[Field("", bit: bit, width: width)] = fill == 0 ? .max : 0
                for place in 0..<size * 8 {
                    let isInside = bit..<bit + width ~= place
                    #expect(bytes[flag: Field("", bit: place, width: 1)] == (isInside == (fill == 0)))
                }
            }
        }
    }

    @Test func anAreaEndsWhereTheBytesEnd() {
        let bytes = [UInt8](0..<8)
        bytes.withUnsafeBytes {
            #expect(Array($0[Area("", at: 2, count: 3)]) == [2, 3, 4])
            #expect(Array($0[Area("", at: 6, count: 3)]) == [6, 7])
            #expect(Array($0[Area("", at: 3, count: 0)]) == [3, 4, 5, 6, 7])
            #expect($0[Area("", at: 9, count: 3)].isEmpty)
        }
    }
}
