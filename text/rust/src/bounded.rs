//! Runs what a checkpoint's template asks for where it cannot harm the process.
//!
//! minijinja's fuel bounds instructions and strings, but not what lists of lists do: summed lazily they take forever to
//! walk, and nested deep they overflow the stack when printed, compared or dropped. So the work gets a thread of its own:
//! with a budget of memory, with a stack that no structure fitting this budget can overflow, and with a deadline.
//!
//! A thread cannot be ended from outside, and an allocation cannot fail without ending the process. A thread over its
//! budget is therefore parked for good, one over its deadline left to itself: a few such threads are tolerated, then
//! nothing is run any more. Budgets are linear in the input, so no client can bring that about with an honest template.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Code, Error, Result};

const BASE_MEMORY: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 16;
/// Stack per byte of memory. Measured with minijinja 3.1: printing, comparing, hashing or dropping the deepest lists, tuples
/// and maps that fit the budget takes at most 5 bytes of stack for each byte of it. Pages not touched cost nothing.
const STACK_PER_MEMORY: usize = 24;
const DEADLINE: Duration = Duration::from_secs(10);
const MAX_LOST: usize = 8;

/// Runs the work of one template.
pub struct Bounds {
    /// Names the work in messages.
    what: &'static str,
    /// Threads parked, or running past their deadline.
    lost: Arc<AtomicUsize>,
}

/// Where a thread stands, as it and the one that waits for it agree.
enum State {
    Running,
    Done,
    OverBudget,
    PastDeadline,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Replaces Running by `new`; false where the thread had been given up.
    fn finish(&self, new: State) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let awaited = matches!(*state, State::Running);
        if awaited {
            *state = new;
            self.changed.notify_one();
        }
        awaited
    }
}

/// What a bounded thread may still allocate.
#[derive(Clone, Copy)]
struct Budget {
    left: isize,
    /// Of the thread's own Arc.
    shared: *const Shared,
}

thread_local! {
    // Const and without a destructor: reading it allocates nothing, and works while a thread ends.
    static BUDGET: Cell<Option<Budget>> = const { Cell::new(None) };
}

/// The system's allocator, which counts on bounded threads.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn charge(bytes: isize) {
        let Some(mut budget) = BUDGET.get() else { return };
        budget.left = budget.left.saturating_sub(bytes);
        BUDGET.set(Some(budget));
        if budget.left < 0 && bytes > 0 {
            // Parking may need a little more.
            BUDGET.set(None);
            // SAFETY: this thread holds the Arc and will not end.
            unsafe { &*budget.shared }.finish(State::OverBudget); // Allocates nothing.
            loop {
                std::thread::park();
            }
        }
    }
}

// Sizes of layouts fit an isize.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::charge(layout.size() as isize);
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::charge(layout.size() as isize);
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        System.dealloc(pointer, layout);
        Self::charge(-(layout.size() as isize));
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::charge(size as isize - layout.size() as isize);
        System.realloc(pointer, layout, size)
    }
}

impl Bounds {
    pub fn new(what: &'static str) -> Self {
        Bounds { what, lost: Arc::default() }
    }

    /// Runs `work` on an input of `size` bytes. INVALID_ARGUMENT where it runs over its bounds, FAILED_PRECONDITION where
    /// too much did so before.
    pub fn run<T, F>(&self, size: usize, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let what = self.what;
        if self.lost.load(Ordering::Relaxed) >= MAX_LOST {
            let message = format!("{what} is switched off: it ran over its bounds {MAX_LOST} times");
            return Err(Error { code: Code::FailedPrecondition, message });
        }
        let memory = BASE_MEMORY + MEMORY_PER_BYTE * size;
        let shared = Arc::new(Shared { state: Mutex::new(State::Running), changed: Condvar::new() });
        let (theirs, lost) = (shared.clone(), self.lost.clone());
        let thread = std::thread::Builder::new()
            .name("chat-template".into())
            .stack_size(STACK_PER_MEMORY * memory)
            .spawn(move || {
                let result = bounded(&theirs, memory, work);
                if !theirs.finish(State::Done) {
                    lost.fetch_sub(1, Ordering::Relaxed);
                }
                result
            })
            .map_err(|error| Error { code: Code::Internal, message: format!("no thread for {what}: {error}") })?;

        let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = shared
            .changed
            .wait_timeout_while(state, DEADLINE, |state| matches!(state, State::Running))
            .unwrap_or_else(PoisonError::into_inner);
        let why = match std::mem::replace(&mut *state, State::PastDeadline) {
            State::Done => {
                drop(state);
                return thread.join().unwrap_or_else(|_| unreachable!("panics are caught"));
            }
            State::OverBudget => format!("{what} needs more than {memory} bytes of memory"),
            State::Running | State::PastDeadline => format!("{what} takes more than {} s", DEADLINE.as_secs()),
        };
        self.lost.fetch_add(1, Ordering::Relaxed); // Under the lock: the thread subtracts only after it saw PastDeadline.
        Err(Error::invalid(why))
    }
}

/// Runs `work` on this thread, within the budget. A panic is an error.
fn bounded<T>(shared: &Arc<Shared>, memory: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    BUDGET.set(Some(Budget { left: memory as isize, shared: Arc::as_ptr(shared) }));
    let panicked = |_| Err(Error { code: Code::Internal, message: "the template engine failed".into() });
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked);
    BUDGET.set(None);
    result
}
