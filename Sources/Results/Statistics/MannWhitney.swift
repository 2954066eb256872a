import Glibc

/// The Mann-Whitney U test: the probability that two samples of one distribution differ as much as these. It assumes
/// nothing about the distribution.
///
/// The probability is exact where it can be counted: of all ways to split the values, ties included, into samples of
/// these sizes, the fraction that lies as far from the middle on either side. Beyond about 70 values in each sample it
/// is the normal approximation, corrected for ties and continuity.
public struct MannWhitney: Sendable {
    /// Sizes of the samples.
    public let counts: (Int, Int)
    /// The number of pairs in which the second sample's value is greater, minus the number in which it is smaller.
    /// Above 0 the second sample tends to be higher.
    public let balance: Double
    /// The two-sided probability of such different samples by chance.
    public let probability: Double
    /// The smallest probability that any split of these values could have.
    public let least: Double

    /// nil where a sample is empty.
    public init?(_ first: [Double], _ second: [Double]) {
        guard !first.isEmpty, !second.isEmpty else { return nil }
        let all = (first.map { ($0, true) } + second.map { ($0, false) }).sorted { $0.0 < $1.0 }
        var groups: [Group] = []
        var index = 0
        while index < all.count {
            var end = index
            while end < all.count, all[end].0 == all[index].0 { end += 1 }
            // Equal values share the mean of their ranks.
            groups.append(
                Group(size: end - index, taken: all[index..<end].count { $0.1 }, rank: index + end))
            index = end
        }
        let (n, m) = (first.count, second.count)
        counts = (n, m)
        let ranks = groups.reduce(0.0) { $0 + Double($1.taken) * Double($1.rank + 1) / 2 }
        balance = Double(n) * Double(m) - 2 * (ranks - Double(n) * Double(n + 1) / 2)
        if let exact = MannWhitney.count(groups, n, m) {
            (probability, least) = exact
        } else {
            probability = MannWhitney.approximation(balance: balance, n, m, groups)
            least = MannWhitney.least(n, m)
        }
    }

    /// Equal values: their number, the number of them in the first sample, and twice their mean rank minus 1.
    private struct Group {
        let size: Int
        let taken: Int
        let rank: Int
    }

    /// Most additions for an exact result.
    private static let mostSteps = 20_000_000

    /// Exact probability, group by group: for each number of the first sample's values among the groups so far, the
    /// probability of each sum of ranks (Klotz 1966). nil where that takes too long.
    private static func count(_ unsorted: [Group], _ n: Int, _ m: Int) -> (probability: Double, least: Double)? {
        // The largest group first: its rank becomes 0, which keeps the number of sums small.
        var groups = unsorted.sorted { $0.size > $1.size }
        let all = n + m
        let isWhole = groups.allSatisfy { ($0.rank - groups[0].rank) % 2 == 0 }
        let zero = groups[0].size > 1 ? groups[0].rank : unsorted[unsorted.count / 2].rank
        groups = groups.map {
            Group(size: $0.size, taken: $0.taken, rank: isWhole ? ($0.rank - zero) / 2 : $0.rank - zero)
        }
        var sums = Sums(share: Double(n) / Double(all))
        var (steps, left) = (0, all)
        for group in groups {
            left -= group.size
            guard sums.add(size: group.size, rank: group.rank, most: n, fewest: n - left, &steps, MannWhitney.mostSteps)
            else { return nil }
        }
        let found = groups.reduce(0) { $0 + $1.taken * $1.rank }
        let whole = groups.reduce(0) { $0 + $1.size * $1.rank }
        return sums.tails(of: n, found: found, whole: whole, all: all)
    }

    /// For each number of values, the probability of each sum of their ranks.
    private struct Sums {
        private struct Row {
            var low = 0
            var weights: [Double] = []
        }
        private var rows: [Int: Row] = [0: Row(low: 0, weights: [1])]
        /// The probability that a value is in the first sample; it keeps weights within the range of Double.
        private let share: Double

        init(share: Double) { self.share = share }

        /// Adds a group of equal values, any number of which may be in the first sample; false beyond the limit of
        /// steps.
        mutating func add(size: Int, rank: Int, most: Int, fewest: Int, _ steps: inout Int, _ limit: Int) -> Bool {
            var next: [Int: Row] = [:]
            let chances = MannWhitney.binomial(size, share)
            for taken in max(fewest, 0)...most {
                let from = max(0, taken - size)...taken
                let parts = from.compactMap { before in rows[before].map { (before, $0) } }
                guard let low = parts.map({ $1.low + (taken - $0) * rank }).min(),
                    let high = parts.map({ $1.low + (taken - $0) * rank + $1.weights.count }).max()
                else { continue }
                steps += parts.reduce(high - low) { $0 + $1.1.weights.count }
                guard steps <= limit else { return false }
                var weights = [Double](repeating: 0, count: high - low)
                for (before, row) in parts {
                    let (chance, start) = (chances[taken - before], row.low + (taken - before) * rank - low)
                    for place in row.weights.indices { weights[start + place] += chance * row.weights[place] }
                }
                next[taken] = Row(low: low, weights: weights)
            }
            rows = next
            return true
        }

        /// The probability of a sum as far from the mean as `found`, and of one as far as any.
        func tails(of n: Int, found: Int, whole: Int, all: Int) -> (probability: Double, least: Double) {
            guard let row = rows[n] else { return (1, 1) }
            func distance(_ sum: Int) -> Int { abs(sum * all - n * whole) }
            let reach = distance(found)
            var (total, beyond, furthest, extreme) = (0.0, 0.0, -1, 0.0)
            for (place, weight) in row.weights.enumerated() where weight > 0 {
                let far = distance(row.low + place)
                total += weight
                if far >= reach { beyond += weight }
                if far > furthest { (furthest, extreme) = (far, 0) }
                if far == furthest { extreme += weight }
            }
            guard total > 0 else { return (1, 1) }
            return (min(beyond / total, 1), min(extreme / total, 1))
        }
    }

    /// Probabilities of 0 to `count` successes in `count` trials, each with probability `share`.
    private static func binomial(_ count: Int, _ share: Double) -> [Double] {
        let logs = logFactorials(count)
        return (0...count).map { taken in
            let ways = logs[count] - logs[taken] - logs[count - taken]
            return exp(ways + Double(taken) * log(share) + Double(count - taken) * log(1 - share))
        }
    }

    /// Logarithms of 0! to `most`!.
    private static func logFactorials(_ most: Int) -> [Double] {
        var sum = 0.0
        return [0]
            + (0..<most).map { number in
                sum += log(Double(number + 1))
                return sum
            }
    }

    private static func approximation(balance: Double, _ n: Int, _ m: Int, _ groups: [Group]) -> Double {
        let total = Double(n + m)
        let ties = groups.reduce(0.0) { $0 + Double($1.size) * (Double($1.size) * Double($1.size) - 1) }
        let variance = Double(n) * Double(m) / 12 * (total + 1 - ties / (total * (total - 1)))
        guard variance > 0 else { return 1 }
        return normal(max(abs(balance) / 2 - 0.5, 0) / variance.squareRoot())
    }

    private static func normal(_ deviations: Double) -> Double { erfc(deviations / 2.0.squareRoot()) }
}

extension MannWhitney {
    /// The smallest probability for samples of these sizes: all values of one lie above the other's.
    public static func least(_ n: Int, _ m: Int) -> Double {
        let logs = logFactorials(n + m)
        return exp(log(2) + logs[n] + logs[m] - logs[n + m])
    }

    /// The smallest size of both samples that can show a difference at this level.
    public static func fewest(level: Double) -> Int {
        var count = 1
        // The tolerance is for rounding of logarithms, which must not cost a value.
        while least(count, count) > level * (1 + 1e-9), count < 1000 { count += 1 }
        return count
    }

    /// For the sorted differences of all pairs: the number that lies outside the interval at each end, so that it
    /// contains the true shift with probability 1 - `level`; nil where the sizes allow none.
    static func outside(_ n: Int, _ m: Int, level: Double) -> Int? {
        let tails = tails(n, m)
        // Binary search: the two-sided probability of U or fewer pairs grows with U.
        var (low, high) = (-1, n * m / 2)
        while high - low > 1 {
            let middle = (low + high) / 2
            if tails(middle) <= level { low = middle } else { high = middle }
        }
        return low < 0 ? nil : low
    }

    /// Probability that U is at most `u`, or as far at the other end, without ties.
    private static func tails(_ n: Int, _ m: Int) -> (Int) -> Double {
        var steps = 0
        var sums = Sums(share: Double(n) / Double(n + m))
        for rank in 0..<(n + m) {
            guard sums.add(size: 1, rank: rank, most: n, fewest: n - (n + m - 1 - rank), &steps, mostSteps) else {
                let deviation = (Double(n) * Double(m) * Double(n + m + 1) / 12).squareRoot()
                return { normal(max(Double(n) * Double(m) / 2 - Double($0) - 0.5, 0) / deviation) }
            }
        }
        let least = n * (n - 1) / 2
        return { sums.tails(of: n, found: least + $0, whole: (n + m) * (n + m - 1) / 2, all: n + m).probability }
    }
}
