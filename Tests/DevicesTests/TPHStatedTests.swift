import Devices
import Glibc
import Kernel
import Testing

@Suite struct TPHStatedTests {
    private func abi(_ name: String) throws -> TPHABI { try #require(TPHABI.named(name)) }

    @Test func nameAlone() throws {
        let kernel = TPHKernel([14: .tph(.v9)], symbols: [feature])
        let result = try found(identify(.named(abi("v9")), kernel))
        #expect(result.abi.name == "v9")
        #expect(result.number == 14)
        #expect(result.how.hasSuffix("; the name is --tph-abi's"))
    }

    @Test(arguments: ["v2", "v3", "v4", "v5"]) func nameOfAnotherStructure(_ name: String) throws {
        let kernel = TPHKernel([13: .tph(.v9)], symbols: [feature])
        let reason = refusal(identify(.named(try abi(name)), kernel))
        #expect(reason.hasPrefix("feature 13 of this kernel takes 12 bytes, layout B, but TPH ABI \(name) has "))
        #expect(!reason.contains("has has"))
    }

    @Test func nameAloneNeedsTheSameProof() throws {
        let stock = TPHKernel([:], symbols: [])
        #expect(absence(identify(.named(try abi("v9")), stock)).hasPrefix("this kernel has no DMA_BUF_TPH"))
        let foreign = TPHKernel([13: .foreignSet], symbols: [])
        #expect(refusal(identify(.named(try abi("v9")), foreign)).contains("lacks \(feature)"))
        #expect(sets(foreign).isEmpty)
    }

    @Test func nameAndNumber() throws {
        let stock = TPHKernel([:])
        #expect(
            absence(identify(.fixed(try abi("v9"), number: 40), stock))
                == "this kernel has no feature 40 (PROBE|SET of feature 40 answered ENOTTY on 0000:3b:00.0)")
        let kernel = TPHKernel([40: .tph(.v9)])
        let result = try found(identify(.fixed(try abi("v9"), number: 40), kernel))
        #expect(result.how == "stated by --tph-abi v9@40; PROBE|SET of feature 40 answered 0")
        #expect(result.number == 40)
        kernel.hasHardware = false
        let gated = try found(identifyTPH(.fixed(try abi("v9"), number: 40), device: 7, object: "", kernel: kernel))
        #expect(gated.how.hasSuffix("answered EOPNOTSUPP"))
        for kernel in [stock, kernel] {
            #expect(kernel.calls.allSatisfy { $0.operation == 0x60000 } && kernel.opened.isEmpty)
        }
        #expect(stock.calls.count == 1 && kernel.calls.count == 2)
    }

    @Test(arguments: [0, 12, 65536, 0x1000d] as [UInt32]) func numbersOfOthers(_ number: UInt32) throws {
        let kernel = TPHKernel([12: .foreignSet, 13: .getOnly])
        #expect(refusal(identify(.fixed(try abi("v9"), number: number), kernel)).contains("not a number"))
        #expect(kernel.calls.isEmpty)
    }
}
