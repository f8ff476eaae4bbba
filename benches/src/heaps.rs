//! The smallest heap with which a peer still answers: the memory that it needs, not the memory that it takes when it may.

use crate::book::LeastHeap;
use crate::machine;
use crate::rounds::Bench;
use crate::systems::System;
use crate::topics::Kind;

/// Heaps to try, MiB.
const HEAPS: [u64; 12] = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096];

impl Bench<'_> {
    /// What [`Bench::least_heap`] finds for each peer with a heap of its own.
    pub(crate) fn least_heaps(&self, kind: Kind, systems: &[System]) -> Vec<LeastHeap> {
        let with_heap = systems.iter().filter(|system| matches!(system, System::Peer(peer) if peer.is_flink()));
        with_heap.filter_map(|system| self.least_heap(kind, *system)).collect()
    }

    /// The smallest of [`HEAPS`] with which the long run ends, with the right rows. Who ends with some heap ends with a larger one;
    /// who has too little often takes all the time that there is.
    fn least_heap(&self, kind: Kind, system: System) -> Option<LeastHeap> {
        let long = self.long(kind, system);
        let (mut low, mut high, mut least) = (0, HEAPS.len(), None);
        while low < high {
            let middle = usize::midpoint(low, high);
            let heap_mib = HEAPS[middle];
            let told = format!("{} labels  {}  -Xmx{heap_mib}m", kind.keys, system.id());
            let Ok(usage) = self.run(system, &long, heap_mib) else {
                eprintln!("{told} does not end well");
                low = middle + 1;
                continue;
            };
            eprintln!("{told} ends; peak {:.0} MiB", usage.peak_mib());
            least = Some((heap_mib, usage.peak_mib()));
            high = middle;
        }
        least.map(|(heap_mib, peak_mib)| LeastHeap {
            kind,
            system: system.id().into(),
            title: system.title(),
            date: machine::today(),
            heap_mib,
            peak_mib,
            millions: long.records as f64 / 1e6,
        })
    }
}
