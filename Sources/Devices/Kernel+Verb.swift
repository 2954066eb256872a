import Kernel

extension Kernel {
    /// Calls a verb and turns a refusal into a `Failure` with the arguments as traces write them. `hint` tells what the table
    /// of refusals cannot: what these arguments show.
    func ask<Answer, each Argument>(
        _ verb: Verb<Answer, repeat each Argument>, _ arguments: repeat each Argument,
        of object: @autoclosure () -> String,
        hint: (Errno) -> String? = { _ in nil }
    ) throws(Failure) -> Answer {
        do throws(Errno) { return try call(verb, repeat each arguments) } catch {
            throw Failure(
                verb.signature.name, error, object: object(), request: verb.request(repeat each arguments),
                hint: hint(error))
        }
    }
}
