//! The subscribers' timer wheel.

use crate::list::NIL;
use crate::subscriber::Subscribers;
use crate::time::Time;

/// One entry per connection, in one of 256 buckets of one granule each. An entry is never later than
/// the deadline that it stands for, rounded up to a granule; it may be earlier, since writes and
/// publishes do not touch it. Whoever takes it out looks at the real deadline and puts it back.
#[derive(Clone, Debug)]
pub(crate) struct Wheel {
    heads: [u32; BUCKETS],
    occupied: [u64; BUCKETS / 64],
    /// Every tick up to this one has been taken out.
    done: u64,
    /// The tick that is being taken out. What is put back meanwhile comes later, or the same entry
    /// would come up for ever.
    now: u64,
    granule: u64,
}

impl Wheel {
    pub(crate) fn new(granule: u64) -> Wheel {
        Wheel {
            heads: [NIL; BUCKETS],
            occupied: [0; BUCKETS / 64],
            done: 0,
            now: 0,
            granule,
        }
    }

    /// The tick that has begun at this time.
    pub(crate) fn tick(&self, now: Time) -> u64 {
        now.as_nanos() / self.granule
    }

    /// Puts in an entry that is not in; after `done`, and within the span.
    pub(crate) fn insert(&mut self, subs: &mut Subscribers, slot: u32, deadline: Time) {
        let tick = deadline
            .as_nanos()
            .div_ceil(self.granule)
            .max(self.now + 1)
            .min(self.done + BUCKETS as u64);
        let bucket = tick as usize % BUCKETS;
        let head = self.heads[bucket];
        let sub = subs.at_mut(slot);
        sub.bucket = bucket as u16;
        sub.later = head;
        sub.earlier = NIL;
        if head != NIL {
            subs.at_mut(head).earlier = slot;
        }
        self.heads[bucket] = slot;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    /// Takes out an entry, if it is in.
    pub(crate) fn remove(&mut self, subs: &mut Subscribers, slot: u32) {
        let sub = subs.at_mut(slot);
        let (bucket, earlier, later) = (usize::from(sub.bucket), sub.earlier, sub.later);
        if bucket >= BUCKETS {
            return;
        }
        sub.bucket = OUT;
        if later != NIL {
            subs.at_mut(later).earlier = earlier;
        }
        if earlier != NIL {
            subs.at_mut(earlier).later = later;
            return;
        }
        self.heads[bucket] = later;
        if later == NIL {
            self.occupied[bucket / 64] &= !(1 << (bucket % 64));
        }
    }

    /// Takes out one entry; to be asked for when one is due.
    pub(crate) fn pop(&mut self, subs: &mut Subscribers, tick: u64) -> Option<u32> {
        // After a jump every bucket has come.
        self.done = self.done.max(tick.saturating_sub(BUCKETS as u64));
        self.now = self.now.max(tick);
        let next = self.next()?; // coverage: one is due
        self.done = next - 1;
        let slot = self.heads[next as usize % BUCKETS];
        self.remove(subs, slot);
        Some(slot)
    }

    /// True if ticks have come that were not looked at.
    pub(crate) fn is_due(&self, tick: u64) -> bool {
        self.next().is_some_and(|next| next <= tick)
    }

    /// The tick that was begun last: what is put in now comes later.
    pub(crate) fn begun(&self) -> u64 {
        self.now
    }

    /// The time of the next entry.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.next()
            .map(|tick| Time::from_nanos(tick.saturating_mul(self.granule)))
    }

    /// The tick of the next entry.
    fn next(&self) -> Option<u64> {
        let start = (self.done + 1) as usize % BUCKETS;
        for words in 0..=self.occupied.len() {
            let word = (start / 64 + words) % self.occupied.len();
            let mut bits = self.occupied[word];
            // At last the word of the start comes up once more: nothing stands from the start on there.
            if words == 0 {
                bits &= u64::MAX << (start % 64);
            }
            if bits != 0 {
                return Some(self.tick_of(word * 64 + bits.trailing_zeros() as usize));
            }
        }
        None
    }

    /// The tick in which the entries of a bucket are taken out.
    pub(crate) fn tick_of(&self, bucket: usize) -> u64 {
        let start = (self.done + 1) as usize % BUCKETS;
        let ahead = (bucket + BUCKETS - start) % BUCKETS;
        self.done + 1 + ahead as u64
    }
}

/// Two and a quarter heartbeats at a granule of 1/112: a deadline of one heartbeat always fits.
const BUCKETS: usize = 256;
/// The bucket of an entry that is not in.
pub(crate) const OUT: u16 = u16::MAX;
