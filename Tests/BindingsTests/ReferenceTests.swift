import Bindings
import Glibc
import LuaKit
import Testing

/// The texts made from the descriptions.
@Suite struct ReferenceTests {
    static let meta = String(#filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()) + "/stdlib/meta"

    @Test(arguments: modules.map(\.name))
    func theStubsInTheRepositoryAreThoseOfTheBindings(_ name: String) throws {
        let module = try #require(modules.first { $0.name == name })
        let file = try #require(fopen("\(ReferenceTests.meta)/\(name).lua", "r"), "stdlib/meta/\(name).lua is missing")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        #expect(
            String(decoding: bytes, as: UTF8.self) == Reference.stubs(module) + "\n",
            "write it again: scripts/peerlab stubs \(name) > stdlib/meta/\(name).lua")
    }

    @Test func everyFunctionIsDocumented() {
        for module in modules {
            let functions = module.functions + module.classes.flatMap(\.methods)
            for function in functions {
                #expect(function.doc.hasSuffix("."), "\(module.name).\(function.name)")
                for parameter in function.parameters {
                    #expect(!parameter.doc.isEmpty, "\(function.name).\(parameter.name)")
                }
            }
        }
    }
}
