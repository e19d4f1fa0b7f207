//! What the memory cgroup says: the limit that holds, and whether the kernel has killed somebody for it (cgroups(7), the
//! kernel's cgroup-v1/memory.rst and cgroup-v2.rst).

use std::fs;
use std::path::{Path, PathBuf};

/// The memory cgroup of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemoryCgroup {
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

impl MemoryCgroup {
    /// Finds it, or `None` where there is none to be seen (no cgroup file system, no memory controller).
    pub(super) fn find() -> Option<Self> {
        let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Self::locate(&cgroups, &mounts)
    }

    /// Where machines have both hierarchies the v1 line for memory decides: a controller lives in one of them only.
    fn locate(cgroups: &str, mounts: &str) -> Option<Self> {
        let line = |wanted: &dyn Fn(&str) -> bool| {
            cgroups.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                wanted(controllers).then_some(path)
            })
        };
        let v1 = line(&|controllers| controllers.split(',').any(|name| name == "memory"));
        let (version, path) = match v1 {
            Some(path) => (Version::V1, path),
            None => (Version::V2, line(&str::is_empty)?),
        };
        let (root, mount) = mounts.lines().find_map(|line| mount_of(line, version))?;
        // In a container the mount may show only a part of the hierarchy: its root is the part's path. Under a cgroup
        // namespace both are '/'.
        let below = Path::new(path).strip_prefix(&root).unwrap_or(Path::new(""));
        Some(Self { version, directory: mount.join(below), mount })
    }

    /// How many processes of this cgroup and those below it the kernel has killed for want of memory.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = fs::read_to_string(self.directory.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }

    /// Whether the kernel kills every process of the group together (`memory.oom.group`, v2 only): pushwrap among them.
    fn kills_together(&self) -> bool {
        let is_set = |directory: &std::path::Path| {
            fs::read_to_string(directory.join("memory.oom.group")).is_ok_and(|text| text.trim() == "1")
        };
        let upwards = self.directory.ancestors().take_while(|directory| directory.starts_with(&self.mount));
        self.version == Version::V2 && { upwards }.any(is_set)
    }

    /// The smallest limit from our cgroup up to the topmost one that can be seen, in bytes.
    fn limit_bytes(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        self.directory
            .ancestors()
            .take_while(|directory| directory.starts_with(&self.mount))
            .filter_map(|directory| limit(&fs::read_to_string(directory.join(file)).ok()?))
            .min()
    }
}

/// Reads one limit: v2 says `max` where there is none, v1 the largest multiple of the page size that fits (`PAGE_COUNTER_MAX`).
fn limit(text: &str) -> Option<u64> {
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < 1 << 62).then_some(bytes)
}

/// The root and the mount point of a line of /proc/self/mountinfo, if it is the hierarchy that has the memory controller.
/// The line is `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS` (`proc_pid_mountinfo(5)`).
fn mount_of(line: &str, version: Version) -> Option<(PathBuf, PathBuf)> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut filesystem = filesystem.split(' ');
    let kind = filesystem.next()?;
    let fits = match version {
        Version::V1 => kind == "cgroup" && filesystem.nth(1)?.split(',').any(|option| option == "memory"),
        Version::V2 => kind == "cgroup2",
    };
    let mut fields = mount.split(' ').skip(3);
    fits.then_some((unescaped(fields.next()?), unescaped(fields.next()?)))
}

/// mountinfo writes blank, tab, newline and backslash as three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let text = field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(text)
}

/// The memory limit that holds for this process and what it runs, in bytes; `None` where there is none or none can be seen.
#[must_use]
pub fn memory_limit_bytes() -> Option<u64> {
    MemoryCgroup::find()?.limit_bytes()
}

/// Whether the kernel kills every process of our control group together when memory is short, pushwrap among them.
#[must_use]
pub fn oom_kills_whole_group() -> bool {
    MemoryCgroup::find().is_some_and(|cgroup| cgroup.kills_together())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{MemoryCgroup, Version, limit};

    const V1_MOUNTS: &str = "\
24 30 0:22 / /sys rw shared:7 - sysfs sysfs rw
36 32 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
37 32 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:16 - cgroup cgroup rw,memory
42 32 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";

    fn found(version: Version, mount: &str, directory: &str) -> MemoryCgroup {
        MemoryCgroup { version, mount: mount.into(), directory: directory.into() }
    }

    #[test]
    fn v2_is_found_below_its_mount() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            MemoryCgroup::locate("0::/system.slice/cron.service\n", mounts),
            Some(found(Version::V2, "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/cron.service"))
        );
        assert_eq!(
            MemoryCgroup::locate("0::/\n", mounts),
            Some(found(Version::V2, "/sys/fs/cgroup", "/sys/fs/cgroup")),
            "a container with its own cgroup namespace"
        );
    }

    #[test]
    fn on_a_machine_with_both_the_memory_line_decides() {
        let cgroups = "5:cpu:/\n4:memory:/user.slice\n0::/user.slice/session\n";
        assert_eq!(
            MemoryCgroup::locate(cgroups, V1_MOUNTS),
            Some(found(Version::V1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/user.slice"))
        );
    }

    #[test]
    fn a_container_without_a_cgroup_namespace_sees_only_its_part() {
        let mounts = "37 32 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        assert_eq!(
            MemoryCgroup::locate("4:memory:/docker/abc\n", mounts),
            Some(found(Version::V1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory"))
        );
    }

    #[test]
    fn without_a_mount_there_is_nothing() {
        assert_eq!(MemoryCgroup::locate("0::/\n", "24 30 0:22 / /sys rw - sysfs sysfs rw"), None);
        assert_eq!(MemoryCgroup::locate("", V1_MOUNTS), None);
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
        let cgroup = MemoryCgroup { version: Version::V2, mount: root.path().into(), directory };
        assert_eq!(cgroup.limit_bytes(), Some(1000));
        assert_eq!(cgroup.oom_kills(), Some(2));
    }
}
