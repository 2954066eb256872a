import Batch
import LabBench
import Results

/// Batches whose runs share guests of the lab.
extension BatchRun {
    /// Runs the remaining cells in one guest and adds its results. Where the guest dies, finished runs are kept, the
    /// run that caused it gets the death, and another guest runs the rest. Where several may have caused it, those are
    /// run alone first, one after another.
    func runIn(_ guest: LabGuest) throws {
        var rest = waiting
        var suspects: Set<String> = []
        while !rest.isEmpty {
            let now = suspects.isEmpty ? rest : rest.filter { suspects.contains(plan.cells[$0].id) }
            let byID = Dictionary(now.map { (plan.cells[$0].id, $0) }, uniquingKeysWith: { first, _ in first })
            let isSerial = !suspects.isEmpty
            var done: Set<String> = []
            let end = try guest.run(
                now.map { plan.cells[$0].id }, of: Set(now.map { plan.files[plan.cells[$0].file].path }).sorted(),
                isSerial: isSerial
            ) { told in
                guard let index = byID[told.id] else { return }
                var record = told
                done.insert(record.id)
                if isSerial { BatchRun.note(&record, oneOf: suspects.count) }
                describe(&record, index)
                totals.add(record)
                keep { try self.journal.add(record) }
            }
            if let lost { throw lost }
            rest.removeAll { done.contains(plan.cells[$0].id) }
            // Once one suspect alone has killed its guest, the others are suspects no more.
            suspects = Set(end.suspects)
            guard end.isDead || (end.isWhole && isSerial) else { break }
        }
        next = rest.isEmpty ? waiting.count : next
    }

    /// Notes in a record that the run was one of several suspects and was run again alone.
    private static func note(_ record: inout RunRecord, oneOf count: Int) {
        let reason =
            "the guest died while cases of \(count) runs were on, and nobody knows of which; it was run again alone"
        record.attempts.insert(Attempt(outcome: .crash, reason: reason, exit: nil, signal: nil, wall_ns: 0), at: 0)
        record.flaky = record.outcome.isGood
    }
}
