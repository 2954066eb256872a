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
        var overload: [AnnotatedField]?
        var line = body.place.line - 1
        while let annotation = annotations[line], body.place.line - line <= AnnotatedType.mostLines {
            line -= 1
            if let text = AnnotatedType.words(annotation, after: "@return") {
                result = AnnotatedType.parts(of: AnnotatedType.first(of: text).type, separatedBy: ",").first
                makesOptions = makesOptions || text.hasPrefix("table<string, scenario.option>")
            } else if let text = AnnotatedType.words(annotation, after: "@generic") {
                for part in AnnotatedType.parts(of: text, separatedBy: ",") {
                    let names = AnnotatedType.parts(of: part, separatedBy: ":", most: 2)
                    if let name = names.first { generics[name] = names.count > 1 ? names[1] : "any" }
                }
            } else if let text = AnnotatedType.words(annotation, after: "@overload"), text.hasPrefix("fun("),
                let end = text.lastIndex(of: ")")
            {
                overload = AnnotatedType.parts(
                    of: String(text[text.index(text.startIndex, offsetBy: 4)..<end]), separatedBy: ","
                ).map { part in
                    let halves = AnnotatedType.parts(of: part, separatedBy: ":", most: 2)
                    return AnnotatedField(halves[0], halves.count > 1 ? halves[1] : "any")
                }
            } else if let parameter = AnnotatedField(annotation, after: "@param") {
                described[parameter.name] = parameter
            }
        }
        parameters =
            overload.map { $0.filter { $0.name != "..." } }
            ?? body.parameters.dropFirst(isMethod ? 1 : 0).map { described[$0.name] }
        if let overload, !overload.contains(where: { $0.name == "..." }) { most = overload.count }
        // A function takes what its annotation says, or more: of others' files that is no rule.
        guard isShipped || overload != nil else { return }
        least = parameters.count - parameters.reversed().prefix { $0?.isOptional ?? true }.count
    }
}
