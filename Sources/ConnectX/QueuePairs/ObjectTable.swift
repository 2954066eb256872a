/// Objects by the device's numbers for them, which are small and dense.
struct ObjectTable<Object: AnyObject> {
    private var objects: ContiguousArray<Object?> = []
    /// How many there are.
    private(set) var count = 0

    /// The object of a number; nil where there is none.
    subscript(number: UInt32) -> Object? {
        get { Int(number) < objects.count ? objects[Int(number)] : nil }
        set {
            let place = Int(number & 0xff_ffff)
            if place >= objects.count {
                guard newValue != nil else { return }
                objects.append(contentsOf: repeatElement(nil, count: place + 1 - objects.count))
            }
            count += (newValue == nil ? 0 : 1) - (objects[place] == nil ? 0 : 1)
            objects[place] = newValue
        }
    }

    /// All of them, by number.
    var all: [Object] { objects.compactMap(\.self) }

    /// Whether one of them is such.
    func contains(where predicate: (Object) -> Bool) -> Bool {
        objects.contains { object in object.map(predicate) ?? false }
    }

    mutating func removeAll() {
        objects = []
        count = 0
    }
}
