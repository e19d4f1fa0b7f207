//! How much memory the command's process tree holds. Samples add up resident sets, which is cheap and counts a page once for
//! each process that shares it; how much of the sum is shared is read now and then, which is dear.

use std::time::{Duration, Instant};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::tree::Tree;
use super::{procfs, sys};

/// Watches how much memory the tree holds.
#[derive(Debug)]
pub(super) struct Sampler {
    system: Option<System>,
    seen: Vec<Pid>,
    last: ResidentSizes,
    interval: Duration,
    started: Instant,
    /// When the next sample is due.
    pub(super) next: Instant,
    peak: Peak,
}

impl Sampler {
    /// A sampler whose first sample is due after [`SHORTEST`].
    pub(super) fn new(now: Instant) -> Self {
        Self {
            system: None,
            seen: Vec::new(),
            last: ResidentSizes::default(),
            interval: SHORTEST,
            started: now,
            next: now + SHORTEST,
            peak: Peak::default(),
        }
    }

    /// Takes one sample and decides when the next is due.
    pub(super) fn sample(&mut self, tree: &mut Tree) {
        let before = sys::thread_cpu_time();
        tree.walk();
        let sample = self.resident(tree.attached());
        let cost = sys::thread_cpu_time().saturating_sub(before);
        self.interval = pace(self.interval, cost, self.last == sample);
        self.peak.add(&sample, self.started.elapsed(), &read_pss);
        self.last = sample;
        self.next = Instant::now() + self.interval;
    }

    /// The largest memory of the tree so far, in bytes; `None` before the first sample that found any.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        self.peak.bytes()
    }

    /// The peak of a tree whose largest process held so many bytes: it holds at least those, also between two samples and before
    /// the first. `None` where samples find nothing.
    pub(super) fn peak_with(&self, largest_bytes: u64) -> Option<u64> {
        let is_new = self.interval == SHORTEST;
        self.peak_bytes().or(is_new.then_some(0)).map(|peak| peak.max(largest_bytes))
    }

    /// The resident sets of the processes.
    fn resident(&mut self, members: &[i32]) -> ResidentSizes {
        let pids: Vec<Pid> = members.iter().filter_map(|pid| Some(Pid::from_u32(u32::try_from(*pid).ok()?))).collect();
        // Made when it is first needed, because before the command is started it would be part of its peak.
        if self.system.is_none() {
            self.system = System::new().ok();
        }
        let Some(system) = self.system.as_mut() else { return ResidentSizes::default() };
        // Those of the last time as well: only a process that is asked for again is found dead and forgotten.
        self.seen.extend_from_slice(&pids);
        let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&self.seen), true, what);
        self.seen.clone_from(&pids);
        let rss_bytes = |pid: &Pid| Some((*pid, system.process(*pid)?.memory()));
        ResidentSizes(pids.iter().filter_map(rss_bytes).collect())
    }
}

/// The processes of the tree, each with its resident set in bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct ResidentSizes(Vec<(Pid, u64)>);

impl ResidentSizes {
    /// A page that several processes share counts once for each.
    fn sum_bytes(&self) -> u64 {
        self.0.iter().map(|(_, rss_bytes)| rss_bytes).sum()
    }

    fn largest_bytes(&self) -> u64 {
        self.0.iter().map(|(_, rss_bytes)| *rss_bytes).max().unwrap_or(0)
    }

    fn has_members_of(&self, other: &Self) -> bool {
        self.0.iter().map(|(pid, _)| pid).eq(other.0.iter().map(|(pid, _)| pid))
    }
}

/// The sum of the proportional set sizes, in bytes, and how long reading them took. A process that we may not read, as
/// that of another user, counts with its resident set.
fn read_pss(sample: &ResidentSizes) -> (u64, Duration) {
    // Processor time: on a busy machine most of the rest is spent in waiting for a processor.
    let before = sys::thread_cpu_time();
    let pss_bytes = |(pid, rss_bytes): &(Pid, u64)| procfs::pss_bytes(pid.as_u32().cast_signed()).unwrap_or(*rss_bytes);
    let sum = sample.0.iter().map(pss_bytes).sum();
    (sum, sys::thread_cpu_time().saturating_sub(before))
}

/// The last time that the proportional set sizes were read.
#[derive(Debug)]
struct PssReading {
    sample: ResidentSizes,
    pss_bytes: u64,
    /// When, from the start of the run.
    at: Duration,
    /// How long it took.
    took: Duration,
}

/// The largest memory of the tree, and what is known of how much its processes share.
#[derive(Debug, Default)]
struct Peak {
    bytes: u64,
    /// The largest sum of resident sets of several processes before the first reading.
    unread_bytes: u64,
    last: Option<PssReading>,
    /// How long all readings took.
    spent: Duration,
}

impl Peak {
    fn bytes(&self) -> Option<u64> {
        Some(self.bytes.max(self.unread_bytes)).filter(|bytes| *bytes > 0)
    }

    /// Takes a sample into account, `elapsed` after the start of the run.
    fn add(&mut self, sample: &ResidentSizes, elapsed: Duration, read: &dyn Fn(&ResidentSizes) -> (u64, Duration)) {
        self.bytes = self.bytes.max(sample.largest_bytes());
        if sample.0.len() < 2 {
            return;
        }
        if self.is_due(sample, elapsed) {
            let (pss_bytes, took) = read(sample);
            self.spent += took;
            self.last = Some(PssReading { sample: sample.clone(), pss_bytes, at: elapsed, took });
            let unread_bytes = std::mem::take(&mut self.unread_bytes);
            self.bytes = self.bytes.max(pss_bytes).max(self.shared_once(unread_bytes));
        } else if self.last.is_some() {
            self.bytes = self.bytes.max(self.shared_once(sample.sum_bytes()));
        } else {
            self.unread_bytes = self.unread_bytes.max(sample.sum_bytes());
        }
    }

    /// Whether a reading is worth its cost: a new peak is near, something has changed since the last reading, and the budget
    /// allows it.
    fn is_due(&self, sample: &ResidentSizes, elapsed: Duration) -> bool {
        let is_stale =
            |last: &PssReading| last.sample != *sample || elapsed.saturating_sub(last.at) >= LONGEST_BETWEEN_READINGS;
        let known = self.last.as_ref().filter(|last| last.sample.has_members_of(sample));
        let likely = known.map_or(sample.sum_bytes(), |_| self.shared_once(sample.sum_bytes()));
        // No page counts more than once for each process, so the sum of resident sets is the most that can be found.
        sample.sum_bytes() > self.bytes
            && likely >= self.bytes / 10 * 9
            && self.last.as_ref().is_none_or(is_stale)
            && self.spent + self.expected_cost(sample) <= elapsed / READING_SHARE
    }

    /// What a sum of resident sets is without repetitions, by the last reading.
    fn shared_once(&self, rss_bytes: u64) -> u64 {
        match &self.last {
            Some(PssReading { sample, pss_bytes, .. }) if sample.sum_bytes() > 0 => {
                let bytes = u128::from(rss_bytes) * u128::from(*pss_bytes) / u128::from(sample.sum_bytes());
                u64::try_from(bytes).unwrap_or(rss_bytes).min(rss_bytes)
            }
            _ => rss_bytes,
        }
    }

    fn expected_cost(&self, sample: &ResidentSizes) -> Duration {
        let mib = |bytes: u64| u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        let processes = u32::try_from(sample.0.len()).unwrap_or(u32::MAX);
        match &self.last {
            Some(last) => last.took * (mib(sample.sum_bytes()) + 1) / (mib(last.sample.sum_bytes()) + 1),
            None => COST_OF_MIB * mib(sample.sum_bytes()) + COST_OF_PROCESS * processes,
        }
    }
}

/// All readings of proportional set sizes together take at most one hundredth of the run's time: the kernel walks through the
/// page tables of the job meanwhile, and the job cannot change its address space.
const READING_SHARE: u32 = 100;
/// A tree of which nothing else changes is read again after that time: processes that write to shared pages get copies of
/// them, and the resident sets stay as large as they are.
const LONGEST_BETWEEN_READINGS: Duration = Duration::from_mins(1);
/// What the first reading is expected to cost; it was measured to be 15 to 60 ms a GiB.
const COST_OF_MIB: Duration = Duration::from_micros(30);
/// What it costs for each process besides.
const COST_OF_PROCESS: Duration = Duration::from_micros(50);

/// The first interval between two samples.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest interval while anything changes.
const BUSY: Duration = Duration::from_secs(1);
/// The longest interval when nothing changes: pushwrap has to cost nothing beside a command that sleeps.
const STEADY: Duration = Duration::from_secs(10);
/// An interval is at least this many times what the sample has cost: sampling uses at most half a hundredth of a core.
const BUSY_SHARE: u32 = 200;
/// The same when nothing changes: at most a thousandth of a core.
const STEADY_SHARE: u32 = 1000;

/// The interval after a sample: from 100 ms doubling to 1 s, up to 10 s as long as neither the members of the tree nor its
/// memory change, and longer where a sample is dear because the tree is large.
fn pace(last: Duration, cost: Duration, steady: bool) -> Duration {
    let (longest, share) = if steady { (STEADY, STEADY_SHARE) } else { (BUSY, BUSY_SHARE) };
    (last * 2).min(longest).max(cost * share)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Peak, Pid, ResidentSizes, SHORTEST, pace};

    const CHEAP: Duration = Duration::from_micros(50);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_pace_doubles_to_a_second_while_things_change() {
        let mut interval = SHORTEST;
        let mut intervals = Vec::new();
        for _ in 0..6 {
            interval = pace(interval, CHEAP, false);
            intervals.push(interval);
        }
        assert_eq!(intervals, [ms(200), ms(400), ms(800), ms(1000), ms(1000), ms(1000)]);
    }

    #[test]
    fn the_pace_slows_down_when_nothing_changes_and_comes_back() {
        assert_eq!(pace(ms(1000), CHEAP, true), ms(2000));
        assert_eq!(pace(ms(8000), CHEAP, true), ms(10_000));
        assert_eq!(pace(ms(10_000), CHEAP, false), ms(1000));
    }

    #[test]
    fn a_dear_sample_is_taken_rarely() {
        assert_eq!(pace(ms(1000), ms(20), false), ms(4000));
        assert_eq!(pace(ms(1000), ms(20), true), Duration::from_secs(20));
        assert_eq!(pace(Duration::from_secs(20), CHEAP, false), ms(1000));
    }

    const MIB: u64 = 1 << 20;

    /// Processes with such resident sets in MiB.
    fn sample(sizes: &[u64]) -> ResidentSizes {
        ResidentSizes((7_u32..).map(Pid::from_u32).zip(sizes.iter().map(|mib| mib * MIB)).collect())
    }

    /// Reading answers so and takes so long.
    fn answer(pss_bytes: u64, took: Duration) -> impl Fn(&ResidentSizes) -> (u64, Duration) {
        move |_: &ResidentSizes| (pss_bytes, took)
    }

    fn unasked(_: &ResidentSizes) -> (u64, Duration) {
        panic!("nothing was to be read")
    }

    #[test]
    fn a_single_process_shares_with_nobody() {
        let mut peak = Peak::default();
        assert_eq!(peak.bytes(), None);
        peak.add(&sample(&[190]), ms(5_000), &unasked);
        assert_eq!(peak.bytes(), Some(190 * MIB));
    }

    #[test]
    fn pages_of_several_processes_count_once() {
        let mut peak = Peak::default();
        peak.add(&sample(&[190, 190]), ms(5_000), &answer(191 * MIB, ms(10)));
        assert_eq!(peak.bytes(), Some(191 * MIB));
    }

    #[test]
    fn before_the_budget_allows_a_reading_the_sum_stands_and_the_first_ratio_mends_it() {
        let mut peak = Peak::default();
        let two = || sample(&[200, 200]);
        peak.add(&two(), ms(100), &unasked);
        assert_eq!(peak.bytes(), Some(400 * MIB));
        peak.add(&sample(&[150, 150]), ms(2_000), &answer(150 * MIB, ms(10)));
        assert_eq!(peak.bytes(), Some(200 * MIB));
    }

    #[test]
    fn between_two_readings_the_last_ratio_counts() {
        let mut peak = Peak::default();
        peak.add(&sample(&[100, 100]), ms(2_000), &answer(100 * MIB, ms(20)));
        peak.add(&sample(&[200, 200]), ms(2_100), &unasked);
        assert_eq!(peak.bytes(), Some(200 * MIB));
        peak.add(&sample(&[200, 200]), ms(7_000), &answer(390 * MIB, ms(40)));
        assert_eq!(peak.bytes(), Some(390 * MIB), "pages were written to since");
    }

    #[test]
    fn readings_take_at_most_a_hundredth_of_the_runs_time() {
        let mut peak = Peak::default();
        for tick in 1..600_u64 {
            let (elapsed, half) = (ms(100 * tick), 150 + tick);
            peak.add(&sample(&[half, half]), elapsed, &answer(half * MIB / 10 * 12, ms(9)));
            assert!(peak.spent <= elapsed / 100, "{:?} in {elapsed:?}", peak.spent);
        }
        assert!(peak.spent >= ms(500), "{:?}", peak.spent);
    }

    #[test]
    fn nothing_is_read_where_no_new_peak_is_near_or_nothing_has_changed() {
        let mut peak = Peak::default();
        peak.add(&sample(&[500]), ms(1_000), &unasked);
        peak.add(&sample(&[300, 180]), ms(60_000), &unasked);
        let mut peak = Peak::default();
        let two = || sample(&[1, 1]);
        peak.add(&two(), ms(1_000), &answer(MIB, ms(1)));
        peak.add(&two(), ms(30_000), &unasked);
        peak.add(&two(), ms(61_000), &answer(2 * MIB, ms(1)));
        assert_eq!(peak.bytes(), Some(2 * MIB));
    }
}
