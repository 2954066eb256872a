import ArgumentParser
import Batch
import Glibc
import Runner

/// The role of this process: by `--role` and `--rendezvous`, or by the variables of a parallel launcher.
struct Launcher {
    private let environment: (String) -> String?

    init(_ environment: @escaping (String) -> String? = { name in getenv(name).map { String(cString: $0) } }) {
        self.environment = environment
    }

    /// nil where all roles run in this process.
    func assignment(role: String?, rendezvous: String?) throws -> RoleAssignment? {
        let process = process()
        guard role != nil || rendezvous != nil || process != nil else { return nil }
        let choice: RoleAssignment.Choice
        if let role {
            choice = .name(role)
        } else if let process {
            choice = .rank(process.rank, of: process.count)
        } else {
            throw ValidationError("--rendezvous needs --role NAME: which of the scenario's roles this process is")
        }
        guard let text = rendezvous ?? address() else {
            throw ValidationError(
                "--role needs --rendezvous HOST:PORT: where the first role listens, the same for every role")
        }
        guard let address = SocketAddress(text) else {
            throw ValidationError("--rendezvous takes HOST:PORT or [ADDRESS]:PORT, not '\(text)'")
        }
        return RoleAssignment(choice, at: address)
    }

    /// This task's part of an array job, or this process's part of a job step.
    var shard: Shard? {
        if let task = number("SLURM_ARRAY_TASK_ID"), let count = number("SLURM_ARRAY_TASK_COUNT") {
            return Shard(task - (number("SLURM_ARRAY_TASK_MIN") ?? 0) + 1, of: count)
        }
        guard let rank = number("SLURM_PROCID"), let count = number("SLURM_NTASKS") else { return nil }
        return Shard(rank + 1, of: count)
    }

    private func number(_ name: String) -> Int? { environment(name).flatMap(Int.init) }

    /// This process's rank among those that srun or a PMIx launcher started together; nil for a single process.
    private func process() -> (rank: Int, count: Int)? {
        let rank = number("SLURM_PROCID") ?? number("PMIX_RANK")
        let count =
            number("SLURM_STEP_NUM_TASKS") ?? number("SLURM_NTASKS") ?? number("PMIX_SIZE")
            ?? number("OMPI_COMM_WORLD_SIZE")
        guard let rank, let count, count > 1 else { return nil }
        return (rank, count)
    }

    /// The first host of the job step, and a port that no other step uses at the same time.
    private func address() -> String? {
        guard let hosts = environment("SLURM_STEP_NODELIST") ?? environment("SLURM_JOB_NODELIST"),
            let first = Launcher.firstHost(of: hosts)
        else { return nil }
        let step = (number("SLURM_JOB_ID") ?? 0) &* 16 &+ (number("SLURM_STEP_ID") ?? 0)
        return "\(first):\(20_000 + Int(UInt(bitPattern: step) % 10_000))"
    }

    /// The first host of a list in SLURM's notation: "node[03-08,11]", "a1,b2", "rack2-[1,4]-ib".
    static func firstHost(of list: String) -> String? {
        var host = ""
        var rest = Substring(list)
        while let next = rest.first, next != "," {
            guard next == "[" else {
                host.append(rest.removeFirst())
                continue
            }
            guard let end = rest.firstIndex(of: "]") else { return nil }
            host += rest[rest.index(after: rest.startIndex)..<end].prefix { $0 != "-" && $0 != "," }
            rest = rest[rest.index(after: end)...]
        }
        return host.isEmpty ? nil : host
    }
}
