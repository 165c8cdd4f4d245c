//! What a process has cost, by `/proc`.

use std::fs;

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn of(id: u32) -> Self {
        Self(id)
    }

    /// Seconds of processor time so far, of user and system.
    pub(crate) fn cpu(self) -> f64 {
        let stat = self.read("stat");
        // The name may hold anything; what follows it does not.
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        // Linux counts a hundredth of a second as one, everywhere.
        (ticks(11) + ticks(12)) / 100.0
    }

    /// MB of memory, now.
    pub(crate) fn resident(self) -> f64 {
        self.size("VmRSS:")
    }

    /// MB of memory at most, since the peak was forgotten.
    pub(crate) fn peak(self) -> f64 {
        self.size("VmHWM:")
    }

    pub(crate) fn forget_peak(self) {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5").unwrap();
    }

    fn size(self, name: &str) -> f64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes * 1024.0 / 1e6
    }

    fn read(self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap()
    }
}
