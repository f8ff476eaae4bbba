//! What the kernel knows about this process: memory and its limits, CPU time.
//!
//! On systems without `/proc` every answer is `None`.

/// Resident memory in bytes: now and at its peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// `VmRSS`
    pub(crate) resident: u64,
    /// `VmHWM`
    pub(crate) peak: u64,
}

/// Reads the memory counters.
pub(crate) fn memory() -> Option<Memory> {
    parse_memory(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Bytes that this process may use: the least of its control group's limit and the machine's memory.
pub(crate) fn memory_limit() -> Option<u64> {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let own = limits.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
    let machine = std::fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(parse_total);
    own.chain(machine).min()
}

fn parse_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// User and system CPU time of all threads, in seconds.
pub(crate) fn cpu_seconds() -> Option<f64> {
    parse_cpu(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Memory { resident: field("VmRSS")?, peak: field("VmHWM")? })
}

/// Linux reports CPU time to user space in hundredths of a second on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

fn parse_cpu(stat: &str) -> Option<f64> {
    // The command's name may hold spaces and brackets: count fields after the last one.
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_text() {
        let status = "Name:\taqueduct\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(parse_memory(status), Some(Memory { resident: 1 << 20, peak: 2 << 20 }));
        assert_eq!(parse_total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 0";
        assert_eq!(parse_cpu(stat), Some(2.0));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(memory_limit().zip(memory()).is_none_or(|(limit, memory)| memory.resident < limit));
        assert!(memory().is_none_or(|memory| memory.peak >= memory.resident / 2 && memory.peak > 0));
    }
}
