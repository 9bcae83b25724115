//! The memory budget: one number that resident memory never exceeds.
//!
//! Three layers. The **ledger** hands out reservations before anything is allocated. The **allocator** counts live bytes,
//! so that what was allocated without a reservation (the shadow) is charged too. The **resident-set guard** watches what
//! the operating system reports and lowers the limit before the budget is reached.
//!
//! Data that grows with the input lives on pages of the [`PagePool`]. A page is pinned or evictable, and whoever needs
//! memory evicts unpinned pages of any operator: operators never wait for each other.
//!
//! This is the lowest layer: it knows no files ([`PageStore`] is implemented by `spill/`) and no rows ([`PageFormat`] is
//! implemented by `row/`).

mod allocator;
mod blocking;
mod budget;
mod frames;
mod guard;
mod ledger;
mod pool;
mod queue;
mod resident;
mod sizes;
mod store;
mod words;

pub use allocator::{CountingAllocator, live_bytes};
pub use blocking::BlockingPlace;
pub use budget::{Budget, machine_bytes, parse_bytes};
pub use guard::ResidentGuard;
pub use ledger::{Memory, OverBudget, Reservation};
pub use pool::{OwnerCounters, Page, PageOwner, PagePool, PinnedPage};
pub use resident::{ResidentSet, process_cpu_time, release_freed_memory, release_program_pages};
pub use sizes::Sizes;
pub use store::{BlockId, PageFormat, PageStore, RawPages, StoreCounters};
pub use words::ZeroedWords;
