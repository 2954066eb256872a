import CLua
import CLuaShims

/// A Lua state for one scenario. It belongs to one thread. Closing it closes every object a script left open.
public final class LuaState {
    private var state: OpaquePointer?
    private var stopped = LK_RUNS
    // The Lua state holds both pointers unretained, so they are kept here.
    private let context: AnyObject
    private let find: (String) throws(ErrorValue) -> ModuleSource
    private let print: (String) -> Void
    private let storage = DescriptionStorage()
    // Modules offered and not required yet; they are registered on demand, as most scripts use few.
    private var offered: [String: Module] = [:]
    /// A class of objects; only described until its first object is made.
    private struct ClassEntry {
        let name: String
        let row: UnsafeMutablePointer<lk_class>
        var description: ObjectClass?
    }
    // A linear search: there are few classes.
    private var classes: [ClassEntry] = []
    // Modules whose classes are not in `classes` yet: describing them costs an empty scenario a fifth of its start.
    private var undeclared: [Module] = []
    private var latestClass = 0
    /// Errors of closing objects that a script had left open, by the collector.
    public internal(set) var failuresWhileCollecting: [ErrorValue] = []
    /// Returns ``failuresWhileCollecting`` and empties it.
    public func takeFailuresOfCollecting() -> [ErrorValue] {
        defer { failuresWhileCollecting = [] }
        return failuresWhileCollecting
    }
    /// An error that one of the script's own finalizers raised.
    public struct FailureOfFinalizer: Sendable {
        /// The error.
        public let error: ErrorValue
        /// The ``era`` in which its object was made; nil where unknown.
        public let era: Int?
    }
    /// Errors of the script's finalizers that were not taken before ``close()``, and those raised during it; see
    /// ``takeFailuresOfFinalizers()``.
    var failuresOfClosedState: [FailureOfFinalizer] = []

    /// Number of the current case, from 0. An object gets it with its finalizer, so that an error of the finalizer,
    /// however late, is reported for the right case.
    public var era = 0 {
        didSet { lk_begin_era(raw, Int64(era)) }
    }
    /// Called with the first error that ends a call, before its to-be-closed variables are closed.
    public var raised: ((ErrorValue) -> Void)?

    /// The text of a module and where it was found.
    public struct ModuleSource {
        /// The text.
        public let text: [UInt8]
        /// The chunk name.
        public let path: String

        /// A Lua file's text. `path` is Lua's chunk name: "@FILE" for a script's own modules, "=stdlib/FILE" for the
        /// stdlib's. Errors never name a line of the latter, but the script's line that called it.
        public init(text: [UInt8], path: String) {
            self.text = text
            self.path = path
        }
    }

    /// The seed of `math.random`.
    public let seed: Int64

    /// A state whose functions are given `context`. `find` looks up modules that are files; `print` gets the lines that
    /// a script prints. `seed` seeds `math.random`; where it is nil, a random one is drawn here, because Lua's own
    /// would be the same in processes forked at the same time.
    public init(
        context: AnyObject, seed: Int64? = nil,
        find: @escaping (String) throws(ErrorValue) -> ModuleSource,
        print: @escaping (String) -> Void
    ) {
        self.context = context
        self.find = find
        self.print = print
        self.seed = seed ?? Int64.random(in: 0..<(1 << 53))
        state = lk_new_state(
            Unmanaged.passUnretained(context).toOpaque(), Unmanaged.passUnretained(self).toOpaque(),
            { LuaState.of($0).loadModule($0, named: $1, $2) }, { LuaState.of($0).printed($1, $2) }, self.seed)
        if let state {
            lk_tell_errors(
                state, { LuaState.of($0).raised?(readError($0)) },
                { state, text, length, era in
                    let text = String(
                        decoding: UnsafeRawBufferPointer(start: text, count: length), as: UTF8.self)
                    LuaState.of(state).finalizerFailed(text, era)
                })
        }
    }

    deinit { close() }

    /// Closes the state, and with it objects that the script left open. No other call is valid afterwards, except where
    /// it says so.
    public func close() {
        guard let state else { return }
        hasDrawn = lk_drew_random(state)
        failuresOfClosedState = takeFailuresOfFinalizers()
        stopped = lk_close_state(state)
        self.state = nil
    }

    /// Makes signals that end a program (SIGINT, SIGTERM, SIGHUP, SIGQUIT; SIGPIPE where nothing reads its output) stop
    /// the running script with an "interrupt" error, until `ignoreSignals`. Only one state of a process at a time can
    /// do so.
    public func stopOnSignals() { lk_interrupt_on_signals(state) }

    /// Whether a signal has asked the program to end since `stopOnSignals`.
    public static var wasAskedToEnd: Bool { lk_was_asked_to_end() }

    /// Whether a signal other than that of Ctrl-C has asked so, in the life of the process.
    public static var wasTerminated: Bool { lk_was_terminated() }

    /// Restores the previous signal handlers.
    public func ignoreSignals() { lk_interrupt_on_signals(nil) }

    /// Limits the memory of the script's values, in bytes. Exceeding it is Lua's "not enough memory" error. Results of
    /// our functions may exceed it until the next call.
    public func limitMemory(_ bytes: UInt64) { lk_limit_memory(raw, Int(clamping: bytes)) }

    private var permit: ((Effect, String) throws(ErrorValue) -> Bool)?
    private var permitted: UInt32 = 0

    /// From now on `permit` is called before a function, whose name it gets, has an effect. It throws to refuse, or
    /// returns whether the effect is permitted from now on without asking. Without `permit` every effect is permitted.
    public func askForEffects(_ permit: @escaping (Effect, String) throws(ErrorValue) -> Bool) {
        self.permit = permit
        lk_ask_for_effects(raw) { LuaState.of($0).decide($0, String(cString: $1), $2) }
    }

    private func decide(_ state: OpaquePointer, _ function: String, _ effects: UInt32) -> CInt {
        do throws(ErrorValue) {
            for effect in Effect.allCases where effects & effect.bit != 0 {
                if try permit?(effect, function) ?? true { permitted |= effect.bit }
            }
        } catch {
            pushError(state, error)
            return -1
        }
        lk_permit_effects(state, permitted)
        return 0
    }

    private var hasDrawn = false
    /// Whether the script drew numbers from `math.random` that depend on ``seed``, because it gave no seed of its own.
    /// Also valid after the state is closed.
    public var drewRandom: Bool { state.map { lk_drew_random($0) } ?? hasDrawn }

    /// Why a script was stopped.
    public enum Stop: Sendable {
        /// A signal.
        case interrupt
        /// Its time is over.
        case timeout
        /// It printed too much.
        case output
    }

    /// Stops the running script as a signal would.
    public func interrupt(_ why: Stop = .interrupt) {
        let reasons: [Stop: lk_stop] = [.interrupt: LK_INTERRUPTED, .timeout: LK_TIMEOUT, .output: LK_OUTPUT]
        lk_interrupt(state, reasons[why] ?? LK_INTERRUPTED)
    }

    /// Ends the time of the script whose state receives signals; may be called in any thread.
    public static func endTime() { lk_end_time() }

    /// "FILE:LINE: " where the state that receives signals called a C function that does not return; empty where
    /// unknown. Call it in another thread than that state's.
    public static func stuckPosition() -> String {
        var text = [CChar](repeating: 0, count: LK_POSITION)
        lk_stuck_position(&text)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// From now on a second SIGALRM writes that to a descriptor, as a line of JSON: {"position":"FILE:LINE: "}.
    public static func tellPosition(to descriptor: Int32) { lk_tell_position(descriptor) }

    /// Whether Lua's own `string.find` finds the pattern in the text; false where the pattern is malformed.
    public func finds(_ pattern: String, in text: String) -> Bool {
        lk_finds(raw, pattern, pattern.utf8.count, text, text.utf8.count)
    }

    /// Why the script was stopped; nil where it was not. Also valid after the state is closed.
    public var stop: Stop? {
        switch state.map({ lk_interrupted($0) }) ?? stopped {
        case LK_RUNS: nil
        case LK_TIMEOUT: .timeout
        case LK_OUTPUT: .output
        default: .interrupt
        }
    }

    /// Whether the script was stopped. Also valid after the state is closed.
    public var isInterrupted: Bool { stop != nil }

    static func of(_ state: OpaquePointer) -> LuaState {
        Unmanaged<LuaState>.fromOpaque(lk_owner(state)).takeUnretainedValue()
    }

    var isOpen: Bool { state != nil }

    var contextObject: AnyObject { context }

    var raw: OpaquePointer {
        guard let state else { preconditionFailure("the Lua state is closed, or there was no memory for it") }
        return state
    }

    private func printed(_ text: UnsafePointer<CChar>, _ length: Int) {
        print(String(decoding: UnsafeRawBufferPointer(start: text, count: length), as: UTF8.self))
    }

    /// Called with a finalizer's error during `close()`. Lua's registry keeps earlier ones (lk_take_finalizing).
    private func finalizerFailed(_ text: String, _ era: Int64) {
        var error = ErrorValue(kind: .script, "in a finalizer (__gc): \(text)")
        error.operation = "__gc"
        failuresOfClosedState.append(FailureOfFinalizer(error: error, era: era < 0 ? nil : Int(era)))
    }

    private func loadModule(_ state: OpaquePointer, named name: UnsafePointer<CChar>, _ length: Int) -> CInt {
        let name = String(decoding: UnsafeRawBufferPointer(start: name, count: length), as: UTF8.self)
        if let module = offered.removeValue(forKey: name) {
            register(module)
            return 0
        }
        do throws(ErrorValue) {
            let source = try find(name)
            try load(state, source.text, name: source.path)
            // 2 seals the table of a stdlib module, as those of built-in modules are: reading an unknown member is an
            // error.
            return source.path.hasPrefix("=") ? 2 : 1
        } catch {
            var error = error
            if let absent = error.absentModule, let near = nearest(to: absent.name, in: moduleNames + absent.known) {
                error.message += "; did you mean '\(near)'?"
            }
            pushError(state, error)
            return -1
        }
    }

    /// Compiles a file's text and runs nothing of it; throws the syntax error, "?:LINE: MESSAGE".
    public static func compile(_ text: [UInt8]) throws(ErrorValue) {
        let state = LuaState(
            context: NoContext(), find: { _ throws(ErrorValue) in throw ErrorValue(kind: .script, "no module") },
            print: { _ in })
        try state.load(state.raw, text, name: "=?")
    }

    /// Pushes the compiled chunk; throws a syntax error.
    func load(_ state: OpaquePointer, _ text: [UInt8], name: String) throws(ErrorValue) {
        let body = skippingHashBang(text.starts(with: byteOrderMark) ? Array(text.dropFirst(3)) : text)
        let status = body.withUnsafeBytes { bytes in
            lk_load(
                state, bytes.baseAddress.map { $0.assumingMemoryBound(to: CChar.self) } ?? emptyText, bytes.count, name)
        }
        guard status != LUA_OK else { return }
        let message = LuaValue.text(state, -1)
        lk_pop(state, 1)
        throw ErrorValue(kind: .script, message)
    }

    /// Makes a first line "#!/..." a comment of Lua's, so that line numbers stay right.
    private func skippingHashBang(_ text: [UInt8]) -> [UInt8] {
        text.first == UInt8(ascii: "#") ? [UInt8(ascii: "-"), UInt8(ascii: "-")] + text : text
    }

    // MARK: Registration

    /// Makes modules available to `require`. A module's functions may take or return objects of another module.
    public func offer(_ modules: [Module]) {
        for module in modules {
            offered[module.name] = module
            moduleNames.append(module.name)
            undeclared.append(module)
        }
    }

    /// Names of the offered modules.
    private var moduleNames: [String] = []

    private func register(_ module: Module) {
        let functions = module.functions
        lua_createtable(raw, 0, CInt(functions.count + module.constants.count))
        for function in functions {
            // What takes the case is called on it.
            let mark = function.parameters.first?.name == "case" ? ":" : "."
            add(function, named: "\(module.name)\(mark)\(function.name)", receiver: nil)
        }
        for constant in module.constants {
            LuaKit.push(raw, constant.name)
            lua_pushinteger(raw, constant.value)
            lua_rawset(raw, -3)
        }
        lk_seal(raw, "module \(module.name)", nil)
        lk_set_module(raw, module.name)
    }

    /// Pushes a module's table; registers the module first where needed.
    func push(module name: String) {
        if let module = offered.removeValue(forKey: name) { register(module) }
        lk_get_module(raw, name)
    }

    private func declare(_ description: ObjectClass) {
        let row = UnsafeMutablePointer<lk_class>.allocate(capacity: 1)
        row.initialize(
            to: lk_class(
                name: storage.string(description.name),
                renamed: storage.renamed(description.methods.map { (name: $0.name, was: $0.was) }),
                close: description.close, destroy: description.destroy))
        storage.own(row)
        classes.append(ClassEntry(name: description.name, row: row, description: description))
    }

    /// Where the class is in `classes`; declares those of further modules until it is there, the last first, as those of a
    /// case's own methods are near the end. nil where no module has it.
    private func index(of name: String) -> Int? {
        while true {
            if let index = classes.firstIndex(where: { $0.name == name }) { return index }
            if undeclared.isEmpty { return nil }
            for description in undeclared.removeLast().classes { declare(description) }
        }
    }

    private func row(of name: String) -> UnsafeMutablePointer<lk_class> {
        // The class is mostly that of the object before.
        let isLatest = classes.indices.contains(latestClass) && classes[latestClass].name == name
        guard let index = isLatest ? latestClass : index(of: name) else { preconditionFailure("no class \(name)") }
        latestClass = index
        if let description = classes[index].description {
            classes[index].description = nil
            define(classes[index].row, description)
        }
        return classes[index].row
    }

    /// Makes the metatable of a class, before its first object is made.
    private func define(_ row: UnsafeMutablePointer<lk_class>, _ description: ObjectClass) {
        lua_createtable(raw, 0, CInt(description.methods.count + 1))
        for method in description.methods {
            add(method, named: "\(description.short):\(method.name)", receiver: description.name)
        }
        lk_register_class(raw, row)
    }

    /// Makes the metatable of a kind of table, before the first one is pushed.
    func define(_ record: any ResultRecordDescription) { lk_register_record(raw, storage.record(record)) }

    private func add(_ function: Function, named name: String, receiver: String?) {
        LuaKit.push(raw, function.name)
        lk_push_function(
            raw,
            storage.function(function, named: name, receiver: receiver) { name in
                self.index(of: name).map { self.classes[$0].row }
            })
        lua_rawset(raw, -3)
    }

    enum ObjectLabel {
        case text(String)
        case number(UInt32)
    }

    func push<Payload: LuaObject & ~Copyable>(
        object payload: consuming Payload, on state: OpaquePointer, parent: CInt, label: ObjectLabel
    ) {
        let row = row(of: Payload.luaName)
        // The payload follows struct lk_object, whose size is a multiple of 8.
        precondition(MemoryLayout<Payload>.alignment <= 8)
        lua_checkstack(state, 8)
        let size = MemoryLayout<Payload>.size
        let memory =
            switch label {
            case .text(let text): lk_new_object(state, row, size, parent, text, text.utf8.count)
            case .number(let number): lk_new_object(state, row, size, parent, nil, Int(number))
            }
        memory.assumingMemoryBound(to: Payload.self).initialize(to: payload)
    }
}

/// Context of a state that calls no function of ours.
private final class NoContext {}

/// The byte order mark that some editors write before UTF-8; Lua's own loader skips it too.
private let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

nonisolated(unsafe) private let emptyText: UnsafePointer<CChar> = {
    let text = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
    text.initialize(to: 0)
    return UnsafePointer(text)
}()
