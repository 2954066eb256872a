import ConnectX
import Testing

@Suite struct FieldTests {
    @Test(arguments: [
        (0, 8, 0x12), (4, 8, 0x23), (8, 16, 0x3456), (3, 1, 1), (4, 4, 2), (0, 64, 0x1234_5678_9abc_def0),
        (60, 8, 0), (64, 32, 0),
    ])
    func bitsCountFromTheTop(_ bit: Int, _ width: Int, _ value: UInt64) {
        let bytes: [UInt8] = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0]
        bytes.withUnsafeBytes { #expect($0[Field("", bit: bit, width: width)] == value) }
    }
}
