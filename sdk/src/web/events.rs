//! The app's handlers.

use core::cell::RefCell;

use js_sys::{Function, Object};
use wasm_bindgen::JsValue;

use slotkeeper_core::beacon::Event;

use super::{error::SdkError, page};

/// What the app may listen to beside the events of an ad.
pub(super) const BREAK_START: &str = "breakStart";
pub(super) const BREAK_END: &str = "breakEnd";

/// Who listens to what.
#[derive(Default)]
pub(super) struct Handlers(RefCell<Vec<(String, Function)>>);

impl Handlers {
    pub(super) fn on(&self, name: &str, handler: &Function) -> Result<(), SdkError> {
        if name.parse::<Event>().is_err() && ![BREAK_START, BREAK_END].contains(&name) {
            return Err(SdkError::argument("name", &format!("{name:?} is not an event; see AdEventName")));
        }
        self.0.borrow_mut().push((name.into(), handler.clone()));
        Ok(())
    }

    pub(super) fn off(&self, name: &str, handler: &Function) {
        self.0.borrow_mut().retain(|(on, held)| !(on == name && Object::is(held, handler)));
    }

    /// Tells everyone who listens. A handler that throws is the app's fault and nobody else's trouble.
    pub(super) fn tell(&self, name: &str, event: &JsValue) {
        let listening: Vec<_> =
            self.0.borrow().iter().filter(|(on, _)| on == name).map(|(_, handler)| handler.clone()).collect();
        for handler in listening {
            if let Err(error) = handler.call1(&JsValue::UNDEFINED, event) {
                page::report(&error);
            }
        }
    }

    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
