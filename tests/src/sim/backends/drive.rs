//! For tests of the backends alone: drives futures through simulated time, and lets owners die and stand still.
//!
//! A small stand-in for the simulation's scheduler: it polls everything whenever anything is woken.

use crate::sim::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// More polls than any test needs.
const ENOUGH: u64 = 20_000_000;

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `future` to its end; time passes when nothing else is to be done.
pub fn drive<T>(world: &World, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    for _ in 0..ENOUGH {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        if !bell.0.swap(false, Ordering::Relaxed) {
            assert!(world.pass_time(), "everything waits, and for nothing");
        }
    }
    panic!("it does not come to an end; the last lines:\n{}", world.tail(40).join("\n"));
}

/// What a process dies of, without a word.
#[derive(Debug)]
pub struct Death;

impl Death {
    /// Ends the process that runs now, at this very place.
    pub fn now() -> ! {
        resume_unwind(Box::new(Death))
    }
}

/// A process that stands still for some time, or dies at some time.
pub struct Process<'a, T> {
    world: World,
    future: Option<Pin<Box<dyn Future<Output = T> + 'a>>>,
    frozen: Option<(u64, u64)>,
    dies: Option<u64>,
}

impl<'a, T> Process<'a, T> {
    /// A process of which nothing is asked yet.
    pub fn new(world: &World, future: impl Future<Output = T> + 'a) -> Self {
        Self { world: world.clone(), future: Some(Box::pin(future)), frozen: None, dies: None }
    }

    /// Between these two moments it does nothing.
    pub fn frozen(self, from_ms: u64, to_ms: u64) -> Self {
        Self { frozen: Some((from_ms, to_ms)), ..self }
    }

    /// From this moment on it is gone.
    pub fn dies(self, at_ms: u64) -> Self {
        Self { dies: Some(at_ms), ..self }
    }

    fn wake_at(&self, at_ms: u64, context: &Context<'_>) {
        let waker = context.waker().clone();
        let after = Duration::from_millis(at_ms.saturating_sub(self.world.now_ms()).max(1));
        self.world.later(after, move || waker.wake());
    }
}

impl<T> Future for Process<'_, T> {
    /// `None`: it died.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let now = self.world.now_ms();
        if self.dies.is_some_and(|at| at <= now) {
            self.future = None;
            return Poll::Ready(None);
        }
        if let Some((from, to)) = self.frozen
            && (from..to).contains(&now)
        {
            self.wake_at(to, context);
            return Poll::Pending;
        }
        let Some(mut future) = self.future.take() else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
            Ok(Poll::Pending) => {
                self.future = Some(future);
                Poll::Pending
            }
            Err(why) if why.is::<Death>() => Poll::Ready(None),
            Err(why) => resume_unwind(why),
        }
    }
}
