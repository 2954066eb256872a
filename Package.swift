// swift-tools-version: 6.2
import PackageDescription

let swift: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]
let c: [CSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
    name: "peerlab",
    products: [
        .executable(name: "peerlab", targets: ["peerlab"]),
        .executable(name: "peerlab-results", targets: ["ResultsTool"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        .systemLibrary(name: "CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "CLuaShims", dependencies: ["CLua"], cSettings: c),
        .target(name: "CKernel", cSettings: c, linkerSettings: [.linkedLibrary("ibverbs")]),
        .target(name: "LuaKit", dependencies: ["CLua", "CLuaShims"], swiftSettings: swift),
        .target(name: "Kernel", dependencies: ["CKernel"], swiftSettings: swift),
        .target(name: "Devices", dependencies: ["Kernel", "CKernel", "CZlib"], swiftSettings: swift),
        .target(name: "LiveKernel", dependencies: ["Kernel", "CKernel"], swiftSettings: swift),
        .target(name: "SimKernel", dependencies: ["Kernel", "CKernel"], swiftSettings: swift),
        .target(name: "LabBench", dependencies: ["Kernel", "CKernel"], swiftSettings: swift),
        .target(name: "VFIOUser", dependencies: ["Kernel", "CKernel"], swiftSettings: swift),
        .target(name: "ConnectX", dependencies: ["VFIOUser", "Kernel"], swiftSettings: swift),
        .target(
            name: "Bindings",
            dependencies: [
                "LuaKit", "CLuaShims", "Devices", "Kernel", "CKernel",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ], swiftSettings: swift),
        .target(
            name: "Runner", dependencies: ["Bindings", "LuaKit", "Devices", "Kernel", "CKernel"], swiftSettings: swift),
        .target(name: "LuaCheck", dependencies: ["Runner", "Bindings", "LuaKit"], swiftSettings: swift),
        .target(name: "Records", dependencies: ["Kernel", "CKernel"], swiftSettings: swift),
        .target(name: "Batch", dependencies: ["Kernel", "CKernel"], swiftSettings: swift),
        .target(
            name: "Results", dependencies: ["Bindings", "Runner", "LuaKit", "Kernel"], exclude: ["record.schema.json"],
            resources: [.embedInCode("Report/report.html")], swiftSettings: swift),
        .target(
            name: "Store",
            dependencies: ["Results", "Runner", "Kernel", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: swift),
        .target(
            name: "Commands",
            dependencies: [
                "Results", "Runner", "Bindings", "LuaKit", "Kernel", "CKernel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: swift),
        .executableTarget(
            name: "ResultsTool",
            dependencies: [
                "Store", "Commands", "Results", "Runner", "LuaKit", "Kernel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: swift),
        .executableTarget(
            name: "peerlab",
            dependencies: [
                "Batch", "Commands", "LuaCheck", "Records", "Results", "CKernel", "Runner", "Bindings", "Devices",
                "LuaKit",
                "LabBench", "LiveKernel", "SimKernel", "VFIOUser", "ConnectX",
                "Kernel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swift),
        .target(
            name: "CBenchmark", dependencies: ["CLua"], cSettings: c, linkerSettings: [.linkedLibrary("ibverbs")]),
        .executableTarget(
            name: "Benchmark", dependencies: ["LuaKit", "CBenchmark", "SimKernel", "Kernel", "CKernel"],
            swiftSettings: swift),
        .target(name: "CHeap", cSettings: c),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "LabBench", "Records", "Results", "Runner", "Bindings", "LuaKit", "Devices", "SimKernel", "Kernel",
                "CHeap", "SeededRandom",
            ],
            swiftSettings: swift),
        .target(name: "SeededRandom", dependencies: ["Kernel"], swiftSettings: swift),
        .executableTarget(
            name: "FuzzGuest", dependencies: ["ConnectX", "VFIOUser", "Kernel", "CKernel", "SeededRandom"],
            swiftSettings: swift),
        .testTarget(name: "KernelTests", dependencies: ["Kernel", "CKernel"], swiftSettings: swift),
        .testTarget(
            name: "LiveKernelTests", dependencies: ["LiveKernel", "Kernel", "CKernel"], swiftSettings: swift),
        .testTarget(name: "LuaKitTests", dependencies: ["LuaKit"], swiftSettings: swift),
        .testTarget(
            name: "SimKernelTests", dependencies: ["SimKernel", "Kernel", "CKernel", "TestBench"],
            swiftSettings: swift),
        .target(
            name: "TestBench", dependencies: ["Kernel", "SimKernel"], path: "Tests/Support",
            exclude: ["retry", "steps"], swiftSettings: swift),
        .testTarget(
            name: "BindingsTests",
            dependencies: [
                "Bindings", "LuaKit", "Devices", "Kernel", "SimKernel", "CHeap", "CLua", "TestBench",
            ],
            swiftSettings: swift),
        .testTarget(
            name: "RunnerTests",
            dependencies: [
                "Runner", "Bindings", "LuaKit", "Devices", "Kernel", "SimKernel", "CKernel", "TestBench",
            ],
            swiftSettings: swift),
        .testTarget(
            name: "RecordsTests", dependencies: ["Records", "Kernel", "SimKernel", "CKernel", "TestBench"],
            swiftSettings: swift),
        .testTarget(name: "BatchTests", dependencies: ["Batch", "Kernel", "CKernel"], swiftSettings: swift),
        .testTarget(
            name: "ResultsTests",
            dependencies: [
                "Results", "Store", "Runner", "Bindings", "Kernel", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: swift),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "peerlab", "Bindings", "Commands", "CKernel", "Devices", "Kernel", "LabBench", "LuaKit", "Records",
                "Results", "Runner", "SimKernel", "TestBench",
            ],
            exclude: ["Transcripts"], swiftSettings: swift),
        .testTarget(
            name: "LuaCheckTests", dependencies: ["LuaCheck", "Runner", "LuaKit", "Kernel"], swiftSettings: swift),
        .testTarget(name: "LabBenchTests", dependencies: ["LabBench", "Kernel"], swiftSettings: swift),
        .testTarget(name: "VFIOUserTests", dependencies: ["VFIOUser", "Kernel", "CKernel"], swiftSettings: swift),
        .testTarget(name: "ConnectXTests", dependencies: ["ConnectX", "VFIOUser", "Kernel"], swiftSettings: swift),
        .testTarget(
            name: "DevicesTests", dependencies: ["Devices", "Kernel", "CKernel", "SimKernel", "TestBench"],
            swiftSettings: swift),
    ],
    swiftLanguageModes: [.v6]
)
