//! The control groups of the run: the memory limit that holds, the processes that the kernel has killed for it, and how long a CPU quota has
//! stopped the group (cgroups(7), the kernel's cgroup-v1/memory.rst, scheduler/sched-bwc.rst and cgroup-v2.rst).

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::procfs::read_text;

/// How long a memory limit that was read is taken for the one that holds.
const LIMIT_HOLDS: Duration = Duration::from_secs(1);

/// The control group of this process under one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cgroup {
    version: Version,
    /// Where the hierarchy is mounted: the topmost directory that can be seen.
    mount: PathBuf,
    /// Our own directory in it.
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A mounted hierarchy.
#[derive(Debug)]
struct CgroupMount {
    version: Version,
    /// Its controllers among other options, separated by commas; under v2 no controller has a hierarchy of its own.
    options: String,
    /// The part of the hierarchy that it shows: `/` where it shows the whole.
    root: PathBuf,
    path: PathBuf,
}

impl CgroupMount {
    /// Those of this process, read once.
    fn all() -> &'static [Self] {
        static MOUNTS: OnceLock<Vec<CgroupMount>> = OnceLock::new();
        MOUNTS.get_or_init(|| Self::parse_all(&read_text("/proc/self/mountinfo").unwrap_or_default()))
    }

    fn parse_all(mountinfo: &str) -> Vec<Self> {
        mountinfo.lines().filter_map(Self::parse).collect()
    }

    /// Parses a line of /proc/self/mountinfo, if it is one of a hierarchy. It is `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG...] -
    /// TYPE SOURCE SUPEROPTIONS` (`proc_pid_mountinfo(5)`).
    fn parse(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        let version = match filesystem.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let mut fields = mount.split(' ').skip(3);
        let (root, path) = (unescaped(fields.next()?), unescaped(fields.next()?));
        Some(Self { version, options: filesystem.nth(1).unwrap_or_default().to_owned(), root, path })
    }

    fn has(&self, version: Version, controller: &str) -> bool {
        self.version == version
            && (version == Version::V2 || self.options.split(',').any(|option| option == controller))
    }
}

/// /proc/self/cgroup as it was when it was first needed: a process seldom moves, and the run's own figures need one group for
/// the beginning and the end.
fn own_groups() -> Option<&'static str> {
    static GROUPS: OnceLock<Option<String>> = OnceLock::new();
    GROUPS.get_or_init(|| read_text("/proc/self/cgroup")).as_deref()
}

impl Cgroup {
    /// The group of this process under a controller, or `None` where none can be seen.
    fn of_controller(controller: &str) -> Option<Self> {
        Self::locate(controller, own_groups()?, CgroupMount::all())
    }

    /// The group of a controller by the content of /proc/self/cgroup. Where a machine has both hierarchies the v1 line decides: a
    /// controller lives in one of them only.
    fn locate(controller: &str, cgroup: &str, mounts: &[CgroupMount]) -> Option<Self> {
        let line = |wanted: &dyn Fn(&str) -> bool| {
            cgroup.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                wanted(controllers).then_some(path)
            })
        };
        let v1 = line(&|controllers| controllers.split(',').any(|name| name == controller));
        let (version, path) = match v1 {
            Some(path) => (Version::V1, path),
            None => (Version::V2, line(&str::is_empty)?),
        };
        let mount = mounts.iter().find(|mount| mount.has(version, controller))?;
        // In a container the mount may show only a part of the hierarchy: its root is the part's path. Under a cgroup
        // namespace both are '/'.
        let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
        Some(Self { version, directory: mount.path.join(below), mount: mount.path.clone() })
    }

    /// Our own directory and those above it, up to the topmost one that can be seen.
    fn upwards(&self) -> impl Iterator<Item = &Path> {
        self.directory.ancestors().take_while(|directory| directory.starts_with(&self.mount))
    }

    /// How many processes of this group the kernel has killed for want of memory; under v2 of those below it too.
    fn oom_kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        keyed(&self.directory.join(file), "oom_kill")
    }

    /// Whether the kernel kills every process of the group together (`memory.oom.group`, v2 only): pushwrap among them.
    fn kills_together(&self) -> bool {
        let is_set = |directory: &Path| number(&directory.join("memory.oom.group")) == Some(1);
        self.version == Version::V2 && self.upwards().any(is_set)
    }

    /// The smallest memory limit from our group up to the topmost one that can be seen, in bytes.
    fn limit_bytes(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        self.upwards().filter_map(|directory| limit(&read_text(directory.join(file))?)).min()
    }

    /// How long a CPU quota has stopped the processes of a group, summed over CPUs.
    fn throttled(&self, directory: &Path) -> Option<Duration> {
        let file = directory.join("cpu.stat");
        match self.version {
            Version::V1 => keyed(&file, "throttled_time").map(Duration::from_nanos),
            Version::V2 => keyed(&file, "throttled_usec").map(Duration::from_micros),
        }
    }

    /// Whether a group has a CPU quota. v1 says -1 where it has none, v2 `max`.
    fn has_quota(&self, directory: &Path) -> bool {
        match self.version {
            Version::V1 => number::<i64>(&directory.join("cpu.cfs_quota_us")).is_some_and(|quota| quota > 0),
            Version::V2 => {
                let text = read_text(directory.join("cpu.max")).unwrap_or_default();
                text.split(' ').next().is_some_and(|quota| quota.trim().parse::<u64>().is_ok())
            }
        }
    }
}

/// What the control groups had counted before the command was started: what they have counted since is the run's.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    memory: Option<Cgroup>,
    oom_kills: Option<u64>,
    cpu: Option<Cgroup>,
    /// Those of our own group and the groups above it that have a quota, each with what it had cost.
    throttled: Vec<(PathBuf, Duration)>,
}

impl Baseline {
    pub(super) fn read() -> Self {
        // Read now, it is not read at the end of a short command.
        let _ = memory_limit_bytes();
        Self::of(Cgroup::of_controller("memory"), Cgroup::of_controller("cpu"))
    }

    fn of(memory: Option<Cgroup>, cpu: Option<Cgroup>) -> Self {
        let throttled = cpu.iter().flat_map(|cpu| {
            let limited = cpu.upwards().filter(|directory| cpu.has_quota(directory));
            limited.filter_map(|directory| Some((directory.to_owned(), cpu.throttled(directory)?)))
        });
        Self { oom_kills: memory.as_ref().and_then(Cgroup::oom_kills), throttled: throttled.collect(), memory, cpu }
    }

    /// How many processes of the group the kernel has killed since for want of memory; `None` where it does not count them.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        Some(self.memory.as_ref()?.oom_kills()?.saturating_sub(self.oom_kills?))
    }

    /// How long a CPU quota has stopped the group since, summed over CPUs: the largest of the groups above it. `None` where
    /// there was no quota at the start.
    pub(super) fn throttled(&self) -> Option<Duration> {
        let cpu = self.cpu.as_ref()?;
        let since = |(directory, before): &(PathBuf, Duration)| Some(cpu.throttled(directory)?.saturating_sub(*before));
        self.throttled.iter().filter_map(since).max()
    }

    /// Whether a kill for want of memory takes pushwrap along: then no process is left for a final report.
    pub(super) fn kills_together(&self) -> bool {
        self.memory.as_ref().is_some_and(Cgroup::kills_together)
    }
}

/// The number behind a key of a file that has one `KEY NUMBER` a line.
fn keyed(file: &Path, key: &str) -> Option<u64> {
    let text = read_text(file)?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A file that is one number.
fn number<T: FromStr>(file: &Path) -> Option<T> {
    read_text(file)?.trim().parse().ok()
}

impl Cgroup {
    /// How much more memory may be used before the kernel kills, in bytes: the least of our cgroup and those above it that can be
    /// seen. Page cache of files is given back first, so it counts as free.
    fn spare_bytes(&self) -> Option<u64> {
        let (limit_file, used_file) = match self.version {
            Version::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Version::V2 => ("memory.max", "memory.current"),
        };
        let spare = |directory: &Path| {
            let bytes = |file: &str| read_text(directory.join(file));
            let limit = limit(&bytes(limit_file)?)?;
            let used: u64 = bytes(used_file).and_then(|text| text.trim().parse().ok()).unwrap_or(limit);
            let cache = bytes("memory.stat").map_or(0, |stat| self.cache_bytes(&stat));
            Some(limit.saturating_sub(used.saturating_sub(cache)))
        };
        self.upwards().filter_map(spare).min()
    }

    /// The page cache in `memory.stat`, that of the cgroups below included; what was just written waits for its disk.
    fn cache_bytes(&self, stat: &str) -> u64 {
        let (prefix, unwritten) = match self.version {
            Version::V1 => ("total_", ["dirty", "writeback"]),
            Version::V2 => ("", ["file_dirty", "file_writeback"]),
        };
        let value = |name: &str| -> u64 {
            let mut lines = stat.lines().filter_map(|line| line.strip_prefix(prefix)?.split_once(' '));
            lines.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
        };
        let cache = value("inactive_file") + value("active_file");
        cache.saturating_sub(unwritten.iter().map(|name| value(name)).sum())
    }
}

/// How much more memory this process may use before the limit of its cgroup makes the kernel kill a process, in bytes; `None` where no limit holds.
#[must_use]
pub fn spare_memory_bytes() -> Option<u64> {
    Cgroup::of_controller("memory")?.spare_bytes()
}

/// Reads one limit: v2 says `max` where there is none, v1 the largest multiple of the page size that fits (`PAGE_COUNTER_MAX`).
fn limit(text: &str) -> Option<u64> {
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < 1 << 62).then_some(bytes)
}

/// mountinfo writes blank, tab, newline and backslash as three octal digits.
fn unescaped(field: &str) -> PathBuf {
    if !field.contains('\\') {
        return field.into();
    }
    let text = field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(text)
}

/// The memory limit that holds for this process and what it runs, in bytes; `None` where there is none or none can be seen. What was
/// read within the last second is not read again, so that the end of a short command does not wait for it.
#[must_use]
pub fn memory_limit_bytes() -> Option<u64> {
    static LAST: Mutex<Option<(Instant, Option<u64>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let known = last.filter(|(read, _)| read.elapsed() < LIMIT_HOLDS);
    let read = || (Instant::now(), Cgroup::of_controller("memory").and_then(|cgroup| cgroup.limit_bytes()));
    last.insert(known.unwrap_or_else(read)).1
}

/// Whether the kernel kills every process of our control group together when memory is short, pushwrap among them.
#[must_use]
pub fn oom_kills_whole_group() -> bool {
    Cgroup::of_controller("memory").is_some_and(|cgroup| cgroup.kills_together())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::{Baseline, Cgroup, CgroupMount, Version, limit};

    const V1_MOUNTS: &str = "\
24 30 0:22 / /sys rw shared:7 - sysfs sysfs rw
36 32 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
37 32 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:16 - cgroup cgroup rw,memory
42 32 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";

    fn found(version: Version, mount: &str, directory: &str) -> Cgroup {
        Cgroup { version, mount: mount.into(), directory: directory.into() }
    }

    fn located(controller: &str, cgroup: &str, mountinfo: &str) -> Option<Cgroup> {
        Cgroup::locate(controller, cgroup, &CgroupMount::parse_all(mountinfo))
    }

    #[test]
    fn v2_is_found_below_its_mount() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            located("memory", "0::/system.slice/cron.service\n", mounts),
            Some(found(Version::V2, "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/cron.service"))
        );
        assert_eq!(
            located("memory", "0::/\n", mounts),
            Some(found(Version::V2, "/sys/fs/cgroup", "/sys/fs/cgroup")),
            "a container with its own cgroup namespace"
        );
    }

    #[test]
    fn on_a_machine_with_both_the_memory_line_decides() {
        let cgroups = "5:cpu:/\n4:memory:/user.slice\n0::/user.slice/session\n";
        assert_eq!(
            located("memory", cgroups, V1_MOUNTS),
            Some(found(Version::V1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/user.slice"))
        );
    }

    #[test]
    fn a_container_without_a_cgroup_namespace_sees_only_its_part() {
        let mounts = "37 32 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        assert_eq!(
            located("memory", "4:memory:/docker/abc\n", mounts),
            Some(found(Version::V1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory"))
        );
    }

    #[test]
    fn without_a_mount_there_is_nothing() {
        assert_eq!(located("memory", "0::/\n", "24 30 0:22 / /sys rw - sysfs sysfs rw"), None);
        assert_eq!(located("memory", "", V1_MOUNTS), None);
    }

    #[test]
    fn values_that_mean_no_limit_are_none() {
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("9223372036854710272\n"), None, "with pages of 64 KiB");
        assert_eq!(limit("31457280\n"), Some(31_457_280));
    }

    #[test]
    fn the_limit_is_the_smallest_on_the_way_up() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        fs::create_dir_all(&directory).unwrap();
        fs::write(root.path().join("a/memory.max"), "1000\n").unwrap();
        fs::write(directory.join("memory.max"), "max\n").unwrap();
        fs::write(directory.join("memory.events"), "low 0\noom 3\noom_kill 2\noom_group_kill 0\n").unwrap();
        let cgroup = Cgroup { version: Version::V2, mount: root.path().into(), directory };
        assert_eq!(cgroup.limit_bytes(), Some(1000));
        assert_eq!(cgroup.oom_kills(), Some(2));
    }

    #[test]
    fn each_controller_has_a_group_of_its_own_under_v1() {
        let mounts = "36 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      38 32 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset";
        let cgroups = "6:cpuset:/a\n5:cpu,cpuacct:/kubepods/pod1\n";
        assert_eq!(
            located("cpu", cgroups, mounts),
            Some(found(Version::V1, "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/kubepods/pod1"))
        );
        assert_eq!(located("memory", cgroups, mounts), None);
    }

    /// A group `pod/main` of a hierarchy in a directory.
    struct CgroupFiles {
        root: tempfile::TempDir,
        version: Version,
    }

    impl CgroupFiles {
        fn new(version: Version) -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("pod/main")).unwrap();
            Self { root, version }
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.root.path().join(file), text).unwrap();
        }

        fn group(&self) -> Cgroup {
            let mount: &Path = self.root.path();
            let directory: PathBuf = mount.join("pod/main");
            Cgroup { version: self.version, mount: mount.into(), directory }
        }

        fn cpu(&self) -> Baseline {
            Baseline::of(None, Some(self.group()))
        }

        fn memory(&self) -> Baseline {
            Baseline::of(Some(self.group()), None)
        }
    }

    #[test]
    fn throttling_is_what_the_quota_of_a_v2_group_has_cost_since() {
        let tree = CgroupFiles::new(Version::V2);
        let stat =
            |usec: u64| format!("usage_usec 9\nnr_periods 5\nnr_throttled 1\nthrottled_usec {usec}\nnr_bursts 0\n");
        tree.write("pod/main/cpu.stat", &stat(1_000));
        tree.write("pod/main/cpu.max", "50000 100000\n");
        let baseline = tree.cpu();
        assert_eq!(baseline.throttled(), Some(Duration::ZERO));
        tree.write("pod/main/cpu.stat", &stat(2_501_000));
        assert_eq!(baseline.throttled(), Some(Duration::from_millis(2_500)));
    }

    #[test]
    fn throttling_of_a_v1_group_is_in_nanoseconds() {
        let tree = CgroupFiles::new(Version::V1);
        let stat = |nanos: u64| format!("nr_periods 5\nnr_throttled 1\nthrottled_time {nanos}\n");
        tree.write("pod/main/cpu.stat", &stat(7));
        tree.write("pod/main/cpu.cfs_quota_us", "20000\n");
        let baseline = tree.cpu();
        tree.write("pod/main/cpu.stat", &stat(1_500_000_007));
        assert_eq!(baseline.throttled(), Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn the_quota_of_a_group_above_counts_and_the_largest_is_told() {
        let tree = CgroupFiles::new(Version::V2);
        for (group, quota) in [("pod/main", "max 100000\n"), ("pod", "50000 100000\n")] {
            tree.write(&format!("{group}/cpu.max"), quota);
            tree.write(&format!("{group}/cpu.stat"), "throttled_usec 10\n");
        }
        let baseline = tree.cpu();
        tree.write("pod/cpu.stat", "throttled_usec 3010\n");
        tree.write("pod/main/cpu.stat", "throttled_usec 1010\n");
        assert_eq!(baseline.throttled(), Some(Duration::from_millis(3)));
    }

    #[test]
    fn without_a_quota_nothing_is_told() {
        for (version, file, none) in
            [(Version::V1, "cpu.cfs_quota_us", "-1\n"), (Version::V2, "cpu.max", "max 100000\n")]
        {
            let tree = CgroupFiles::new(version);
            tree.write(&format!("pod/main/{file}"), none);
            tree.write("pod/main/cpu.stat", "throttled_usec 0\nthrottled_time 0\n");
            assert_eq!(tree.cpu().throttled(), None, "{version:?}");
        }
        assert_eq!(CgroupFiles::new(Version::V2).cpu().throttled(), None);
        assert_eq!(Baseline::of(None, None).throttled(), None);
    }

    #[test]
    fn kills_for_want_of_memory_are_those_since_the_start() {
        let files = [
            (Version::V1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n"),
            (Version::V2, "memory.events", "low 0\noom 9\n"),
        ];
        for (version, file, before) in files {
            let tree = CgroupFiles::new(version);
            assert_eq!(tree.memory().oom_kills(), None, "an old kernel");
            tree.write(&format!("pod/main/{file}"), &format!("{before}oom_kill 3\noom_group_kill 0\n"));
            let baseline = tree.memory();
            assert_eq!(baseline.oom_kills(), Some(0));
            tree.write(&format!("pod/main/{file}"), &format!("{before}oom_kill 5\noom_group_kill 1\n"));
            assert_eq!(baseline.oom_kills(), Some(2), "{version:?}");
        }
    }

    #[test]
    fn a_group_that_is_killed_together_may_be_one_above() {
        for group in ["pod", "pod/main"] {
            let tree = CgroupFiles::new(Version::V2);
            assert!(!tree.memory().kills_together());
            tree.write(&format!("{group}/memory.oom.group"), "0\n");
            assert!(!tree.memory().kills_together());
            tree.write(&format!("{group}/memory.oom.group"), "1\n");
            assert!(tree.memory().kills_together(), "{group}");
        }
    }

    #[test]
    fn what_is_spare_is_the_least_on_the_way_up_and_cache_is_free() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a");
        fs::create_dir_all(&directory).unwrap();
        let cgroup = |version| Cgroup { version, mount: root.path().into(), directory: directory.clone() };
        assert_eq!(cgroup(Version::V2).spare_bytes(), None);
        fs::write(root.path().join("memory.max"), "1000\n").unwrap();
        fs::write(root.path().join("memory.current"), "700\n").unwrap();
        fs::write(root.path().join("memory.stat"), "inactive_file 90\nactive_file 60\nfile_dirty 50\n").unwrap();
        fs::write(directory.join("memory.max"), "500\n").unwrap();
        fs::write(directory.join("memory.current"), "50\n").unwrap();
        assert_eq!(cgroup(Version::V2).spare_bytes(), Some(400));
        fs::write(directory.join("memory.limit_in_bytes"), "500\n").unwrap();
        fs::write(directory.join("memory.usage_in_bytes"), "450\n").unwrap();
        fs::write(directory.join("memory.stat"), "inactive_file 1\ntotal_inactive_file 30\ntotal_dirty 10\n").unwrap();
        assert_eq!(cgroup(Version::V1).spare_bytes(), Some(70));
    }
}
