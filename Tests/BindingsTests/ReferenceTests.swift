import Bindings
import Glibc
import LuaKit
import Testing

/// The texts made from the descriptions.
@Suite struct ReferenceTests {
    static let root = String(#filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined())

    /// A file of the repository by its path from the root.
    private static func contents(_ path: String) throws -> String {
        let file = try #require(fopen("\(root)/\(path)", "r"), "\(path) is missing")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(arguments: modules.map(\.name))
    func theStubsInTheRepositoryAreThoseOfTheBindings(_ name: String) throws {
        let module = try #require(modules.first { $0.name == name })
        let path = "stdlib/meta/\(name).lua"
        #expect(
            try ReferenceTests.contents(path) == Reference.stubs(module) + "\n",
            "write it again: scripts/peerlab stubs \(name) > \(path)")
    }

    @Test(arguments: modules.map(\.name))
    func thePagesInTheCatalogueAreThoseOfTheBindings(_ name: String) throws {
        let module = try #require(modules.first { $0.name == name })
        let path = "Sources/Documentation.docc/LuaAPI/Lua-\(name).md"
        #expect(
            try ReferenceTests.contents(path) == Reference.page(module) + "\n",
            "write it again: scripts/peerlab stubs --markdown \(name) > \(path)")
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

    @Test func noStubNamesATypeThatNoneDeclares() throws {
        let lines = modules.flatMap { Reference.stubs($0).split(separator: "\n") }
        let declared = lines.compactMap { $0.hasPrefix("---@class ") ? $0.dropFirst("---@class ".count) : nil }
        #expect(Set(declared).count == declared.count)
        // A type with a module's name before it is one that a stub must declare.
        let names = Set(modules.map(\.name))
        let used = lines.filter {
            $0.hasPrefix("---@param ") || $0.hasPrefix("---@return ") || $0.hasPrefix("---@field ")
        }
        .flatMap { line in
            line.matches(of: /[a-z0-9_]+\.[a-z_]+/).map { line[$0.range] }
                .filter { names.contains(String($0.prefix { $0 != "." })) }
        }
        let functions = Set(modules.flatMap { module in module.functions.map { "\(module.name).\($0.name)" } })
        #expect(used.count > 50)
        #expect(used.filter { !declared.contains($0) && !functions.contains(String($0)) } == [])
    }

    @Test func everyFieldOfAResultIsDocumented() {
        let functions = modules.flatMap { $0.functions + $0.classes.flatMap(\.methods) }
        let records = functions.flatMap(\.returns).compactMap(\.record)
        #expect(records.count > 20)
        for record in records {
            #expect(record.doc.hasSuffix("."), "\(record.name)")
            for field in record.described { #expect(!field.doc.isEmpty, "\(record.name).\(field.name)") }
        }
    }
}
