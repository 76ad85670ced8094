//! The memory limit that the process lives under, in cgroup version 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

/// Where to read a cgroup's memory figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryCgroup {
    /// The lowest limit on the way from the process's group to the root, bytes.
    pub limit: u64,
    usage: PathBuf,
    stat: PathBuf,
    inactive_file: &'static str,
}

/// Above this a version 1 limit means "none": the kernel writes the largest page-aligned `i64`.
const V1_NO_LIMIT: u64 = 1 << 62;

struct Version {
    limit: &'static str,
    usage: &'static str,
    inactive_file: &'static str,
}

const V2: Version = Version { limit: "memory.max", usage: "memory.current", inactive_file: "inactive_file" };
const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive_file: "total_inactive_file",
};

impl MemoryCgroup {
    /// The group of this process; `None` where nothing limits it.
    pub fn of_this_process() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::find(&groups, Path::new("/sys/fs/cgroup"))
    }

    /// Reads the content of a `/proc/PID/cgroup` and looks below `root`, the cgroup mount.
    fn find(groups: &str, root: &Path) -> Option<Self> {
        let mut lines = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            Some((fields.next()?, fields.next()?))
        });
        let v1 = lines.clone().find(|(controllers, _)| controllers.split(',').any(|c| c == "memory"));
        match v1 {
            Some((_, path)) => Self::lowest(&root.join("memory"), path, &V1),
            None => lines.find(|(c, _)| c.is_empty()).and_then(|(_, path)| Self::lowest(root, path, &V2)),
        }
    }

    /// Walks from the process's group up to the mount. In a container the mount is often the group itself
    /// and the path, seen from the host, does not exist below it: then only the mount is looked at.
    fn lowest(mount: &Path, path: &str, version: &Version) -> Option<Self> {
        let own = mount.join(path.trim_start_matches('/'));
        own.ancestors()
            .take_while(|dir| dir.starts_with(mount))
            .filter_map(|dir| {
                let limit = number(&dir.join(version.limit)).filter(|limit| *limit < V1_NO_LIMIT)?;
                Some(Self {
                    limit,
                    usage: dir.join(version.usage),
                    stat: dir.join("memory.stat"),
                    inactive_file: version.inactive_file,
                })
            })
            .min_by_key(|group| group.limit)
    }

    /// Bytes that the kernel cannot simply take back (the kubelet's working set): what the out-of-memory
    /// killer goes by, socket buffers included. `None` when it cannot be read.
    pub fn working_set(&self) -> Option<u64> {
        let usage = number(&self.usage)?;
        let stat = fs::read_to_string(&self.stat).ok()?;
        let inactive = stat
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == self.inactive_file)
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        Some(usage.saturating_sub(inactive))
    }
}

/// The number in a file; `None` also for `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory for the test");
        for (name, content) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().expect("inside the root")).expect("created");
            fs::write(file, content).expect("written");
        }
        root
    }

    #[test]
    fn version_2_takes_the_lowest_limit_above_the_process() {
        let root = tree(&[
            ("pods/memory.max", "500\n"),
            ("pods/memory.current", "400\n"),
            ("pods/memory.stat", "anon 1\ninactive_file 50\n"),
            ("pods/a/memory.max", "max\n"),
        ]);
        let group = MemoryCgroup::find("0::/pods/a\n", root.path()).expect("a limit");
        assert_eq!((group.limit, group.working_set()), (500, Some(350)));
    }

    #[test]
    fn version_1_reads_its_own_file_names() {
        let root = tree(&[
            ("memory/pods/memory.limit_in_bytes", "1000\n"),
            ("memory/pods/memory.usage_in_bytes", "900\n"),
            ("memory/pods/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let group =
            MemoryCgroup::find("5:cpu,cpuacct:/x\n4:memory:/pods\n0::/\n", root.path()).expect("a limit");
        assert_eq!((group.limit, group.working_set()), (1000, Some(800)));
    }

    #[test]
    fn a_container_sees_its_group_as_the_mount() {
        let root = tree(&[("memory/memory.limit_in_bytes", "77\n")]);
        let group = MemoryCgroup::find("4:memory:/kubepods/burstable/pod1/c1\n", root.path());
        assert_eq!(group.map(|g| g.limit), Some(77));
    }

    #[test]
    fn no_limit_is_none() {
        let unlimited = tree(&[("memory.max", "max\n")]);
        assert_eq!(MemoryCgroup::find("0::/\n", unlimited.path()), None);
        let unlimited = tree(&[("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(MemoryCgroup::find("4:memory:/\n", unlimited.path()), None);
        assert_eq!(MemoryCgroup::find("rubbish\n\n", unlimited.path()), None);
    }
}
