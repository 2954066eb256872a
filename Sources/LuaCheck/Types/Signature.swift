/// What is known of a function of another file.
struct Signature {
    /// "expect.equal".
    var name: String
    /// How many arguments it takes at least, and at most; nil for any number.
    var least = 0
    var most: Int?
    /// Whether it is called with a colon.
    var isMethod = false
    /// What annotations say of its parameters, without the object of a method.
    var parameters: [AnnotatedField?] = []
    /// The LuaLS type of its result, where an annotation says it.
    var result: String?
    /// Its type parameters, with the type that each has at least.
    var generics: [String: String] = [:]
    /// Whether an annotation says that it makes a scenario's options.
    var makesOptions = false
    /// Where it does, and comes with the program: its module's name and its own.
    var options: (module: String, function: String)?
    /// Whether it comes with the program, so that calls are held against its annotations.
    let isShipped: Bool

    /// What a function's text and its annotations say.
    init(_ name: String, _ body: FunctionBody, _ annotations: [Int: String], isShipped: Bool) {
        self.name = name
        self.isShipped = isShipped
        isMethod = body.parameters.first.map { $0.name == "self" && $0.place == body.place } ?? false
        most = body.isVariadic ? nil : body.parameters.count - (isMethod ? 1 : 0)
        var described: [String: AnnotatedField] = [:]
        var overloads: [[AnnotatedField]] = []
        var line = body.place.line - 1
        while let annotation = annotations[line], body.place.line - line <= AnnotatedType.mostLines {
            line -= 1
            if let text = AnnotatedType.words(annotation, after: "@return") {
                result = AnnotatedType.parts(of: AnnotatedType.first(of: text).type, separatedBy: ",").first
                makesOptions = makesOptions || text.hasPrefix("table<string, scenario.option>")
            } else if let text = AnnotatedType.words(annotation, after: "@generic") {
                generics = AnnotatedType.bounds(text)
            } else if let text = AnnotatedType.words(annotation, after: "@overload") {
                guard let overload = Signature.parameters(of: text) else { continue }
                overloads.append(isMethod && overload.first?.name == "self" ? Array(overload.dropFirst()) : overload)
            } else if let parameter = AnnotatedField(annotation, after: "@param") {
                described[parameter.name] = parameter
            }
        }
        let own = body.parameters.dropFirst(isMethod ? 1 : 0).map { described[$0.name] }
        // What takes any number says by an overload which: it is the only way to call it.
        if body.isVariadic, own.isEmpty, overloads.count == 1 {
            (parameters, most) = (overloads[0].filter { $0.name != "..." }, Signature.most(overloads[0]))
        } else if overloads.isEmpty {
            parameters = own
            // A function takes what its annotation says, or more: of others' files that is no rule.
            guard isShipped else { return }
        } else {
            // One of several ways: only how many arguments the longest one takes is known.
            let most = overloads.map { Signature.most($0) } + [self.most]
            self.most = most.contains { $0 == nil } ? nil : most.compactMap(\.self).max()
            return
        }
        least = parameters.count - parameters.reversed().prefix { $0?.isOptional ?? true }.count
    }

    /// The parameters of "fun(a: integer, b?: string): type"; nil for other texts.
    static func parameters(of text: String) -> [AnnotatedField]? {
        guard text.hasPrefix("fun("), let end = text.lastIndex(of: ")") else { return nil }
        let inside = String(text[text.index(text.startIndex, offsetBy: 4)..<end])
        return AnnotatedType.parts(of: inside, separatedBy: ",").compactMap { part in
            let halves = AnnotatedType.parts(of: part, separatedBy: ":", most: 2)
            return halves.first.map { AnnotatedField($0, halves.count > 1 ? halves[1] : "any") }
        }
    }

    private static func most(_ overload: [AnnotatedField]) -> Int? {
        overload.contains { $0.name == "..." } ? nil : overload.count
    }
}
