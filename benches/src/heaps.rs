//! The smallest heap with which a peer still answers: the memory that it needs, not the memory that it takes when it may.

use crate::book::LeastHeap;
use crate::machine;
use crate::rounds::Bench;
use crate::systems::System;
use crate::topics::Kind;

/// Heaps to try, MiB.
const HEAPS: [u64; 12] = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096];

impl Bench<'_> {
    /// For each peer with a heap of its own: the smallest of [`HEAPS`] with which the long run ends, with the right rows.
    pub(crate) fn least_heaps(&self, kind: Kind, systems: &[System]) -> Vec<LeastHeap> {
        let mut found = Vec::new();
        for system in systems.iter().filter(|system| matches!(system, System::Peer(peer) if peer.is_flink())) {
            let long = self.long(kind, *system);
            // Who ends with some heap ends with a larger one; who has too little often takes all the time that there is.
            let (mut low, mut high, mut least) = (0, HEAPS.len(), None);
            while low < high {
                let middle = usize::midpoint(low, high);
                let heap_mib = HEAPS[middle];
                match self.run(*system, &long, heap_mib) {
                    Ok(usage) => {
                        let peak_mib = usage.peak_bytes as f64 / f64::from(1 << 20);
                        eprintln!(
                            "{} labels  {}  -Xmx{heap_mib}m ends; peak {peak_mib:.0} MiB",
                            kind.keys,
                            system.id()
                        );
                        least = Some((heap_mib, peak_mib));
                        high = middle;
                    }
                    Err(_) => {
                        eprintln!("{} labels  {}  -Xmx{heap_mib}m does not end well", kind.keys, system.id());
                        low = middle + 1;
                    }
                }
            }
            found.extend(least.map(|(heap_mib, peak_mib)| LeastHeap {
                kind,
                system: system.id().into(),
                title: system.title(),
                date: machine::today(),
                heap_mib,
                peak_mib,
                millions: long.records as f64 / 1e6,
            }));
        }
        found
    }
}
