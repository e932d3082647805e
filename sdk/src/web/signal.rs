//! Waiting for one thing that happens once.

use core::{cell::RefCell, future::poll_fn, task::Poll, task::Waker};
use std::rc::Rc;

enum State<T> {
    Quiet(Option<Waker>),
    Fired(T),
}

/// Fires once, with a value; whoever waits goes on. Later firings are ignored.
pub(super) struct Signal<T>(Rc<RefCell<State<T>>>);

impl<T> Clone for Signal<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: Copy> Signal<T> {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(State::Quiet(None))))
    }

    pub(super) fn fire(&self, value: T) {
        let waker = match &mut *self.0.borrow_mut() {
            State::Fired(_) => return,
            State::Quiet(waker) => waker.take(),
        };
        *self.0.borrow_mut() = State::Fired(value);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The value fired, as soon as there is one. One waiter at a time.
    pub(super) async fn wait(&self) -> T {
        poll_fn(|context| match &mut *self.0.borrow_mut() {
            State::Fired(value) => Poll::Ready(*value),
            State::Quiet(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}
