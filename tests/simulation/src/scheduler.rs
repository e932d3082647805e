//! A virtual clock and the tasks that live by it: one thread, no real time, the same order for the same seed.
//!
//! Whatever is due at one moment happens in an order drawn from the seed. Every future that waits in here waits for a time
//! ([`Scheduler::sleep`]) or for a [`Promise`]; nothing else wakes a task.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::rng::Rng;

/// Whose task it is: what a crash takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's: a client, the network, the origin's own chores.
    World,
    /// A process that serves requests, by number.
    Process(usize),
}

type TaskId = u64;
type Work = Pin<Box<dyn Future<Output = ()>>>;
type Call = Box<dyn FnOnce()>;

/// The clock and everything that waits for it.
pub struct Scheduler {
    now_ms: Cell<u64>,
    next: Cell<u64>,
    current: Cell<TaskId>,
    due: RefCell<BinaryHeap<Reverse<(u64, u64, u64)>>>,
    calls: RefCell<BTreeMap<u64, Call>>,
    wakes: RefCell<BTreeMap<u64, TaskId>>,
    tasks: RefCell<BTreeMap<TaskId, (Owner, Option<Work>)>>,
    steps: Cell<u64>,
    order: Rng,
}

impl Scheduler {
    /// A clock that stands at `start_ms`.
    pub fn new(seed: u64, start_ms: u64) -> Self {
        Self {
            now_ms: Cell::new(start_ms),
            next: Cell::new(1),
            current: Cell::new(0),
            due: RefCell::default(),
            calls: RefCell::default(),
            wakes: RefCell::default(),
            tasks: RefCell::default(),
            steps: Cell::new(0),
            order: Rng::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d)),
        }
    }

    /// The true time.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// How many things have happened.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    fn at(&self, at_ms: u64) -> u64 {
        let number = self.number();
        self.due.borrow_mut().push(Reverse((at_ms.max(self.now_ms()), self.order.next(), number)));
        number
    }

    fn wake_at(&self, at_ms: u64, task: TaskId) {
        let number = self.at(at_ms);
        self.wakes.borrow_mut().insert(number, task);
    }

    /// Calls `call` in `ms` milliseconds, whatever becomes of who asked for it.
    pub fn after(&self, ms: u64, call: impl FnOnce() + 'static) {
        let number = self.at(self.now_ms() + ms);
        self.calls.borrow_mut().insert(number, Box::new(call));
    }

    /// Starts a task.
    pub fn spawn(&self, owner: Owner, work: impl Future<Output = ()> + 'static) {
        let task = self.number();
        self.tasks.borrow_mut().insert(task, (owner, Some(Box::pin(work))));
        self.wake_at(self.now_ms(), task);
    }

    /// Ends all tasks of `owner` where they stand.
    pub fn kill(&self, owner: Owner) -> usize {
        let current = self.current.get();
        let mut tasks = self.tasks.borrow_mut();
        let theirs: Vec<TaskId> =
            tasks.iter().filter(|(id, task)| task.0 == owner && **id != current).map(|(id, _)| *id).collect();
        let ended: Vec<_> = theirs.iter().filter_map(|id| tasks.remove(id)).collect();
        drop(tasks);
        ended.len() // dropped here, with nothing borrowed
    }

    /// Lets one thing happen; `false` if nothing is left.
    pub fn step(&self) -> bool {
        let Some(Reverse((at_ms, _, number))) = self.due.borrow_mut().pop() else { return false };
        self.now_ms.set(at_ms);
        self.steps.set(self.steps.get() + 1);
        let call = self.calls.borrow_mut().remove(&number);
        if let Some(call) = call {
            call();
            return true;
        }
        let Some(task) = self.wakes.borrow_mut().remove(&number) else { return true };
        let Some(mut work) = self.tasks.borrow_mut().get_mut(&task).and_then(|(_, work)| work.take()) else {
            return true; // it has ended or was killed
        };
        self.current.set(task);
        let done = work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        self.current.set(0);
        if done {
            self.tasks.borrow_mut().remove(&task);
        } else if let Some((_, place)) = self.tasks.borrow_mut().get_mut(&task) {
            *place = Some(work);
        }
        true
    }

    /// Waits `ms` milliseconds.
    pub fn sleep(self: &Rc<Self>, ms: u64) -> Sleep {
        Sleep { scheduler: self.clone(), until_ms: self.now_ms() + ms, is_set: false }
    }

    /// Something that will be known later.
    pub fn promise<T>(self: &Rc<Self>) -> Promise<T> {
        Promise(Rc::new(Shared { scheduler: self.clone(), value: RefCell::new(None), waiting: Cell::new(0) }))
    }
}

/// A future that ends at a time.
pub struct Sleep {
    scheduler: Rc<Scheduler>,
    until_ms: u64,
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.scheduler.now_ms() >= self.until_ms {
            return Poll::Ready(());
        }
        if !self.is_set {
            self.is_set = true;
            self.scheduler.wake_at(self.until_ms, self.scheduler.current.get());
        }
        Poll::Pending
    }
}

struct Shared<T> {
    scheduler: Rc<Scheduler>,
    value: RefCell<Option<T>>,
    waiting: Cell<TaskId>,
}

/// A value that one side gives and one task waits for. The first one given counts.
pub struct Promise<T>(Rc<Shared<T>>);

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Promise<T> {
    /// Gives the value.
    pub fn give(&self, value: T) {
        self.0.value.borrow_mut().get_or_insert(value);
        if self.0.waiting.get() != 0 {
            self.0.scheduler.wake_at(self.0.scheduler.now_ms(), self.0.waiting.get());
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        self.0.waiting.set(self.0.scheduler.current.get());
        self.0.value.borrow_mut().take().map_or(Poll::Pending, Poll::Ready)
    }
}
