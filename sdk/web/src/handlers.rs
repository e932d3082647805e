//! The app's handlers.

use alloc::{string::String, vec::Vec};
use core::cell::RefCell;

use js_sys::Function;
use slotkeeper_sdk_core::Event;
use wasm_bindgen::JsValue;

use crate::{error, page};

/// What the app may listen to beside the events of an ad.
pub(crate) const BREAK_START: &str = "breakStart";
pub(crate) const BREAK_END: &str = "breakEnd";

/// Who listens to what.
#[derive(Default)]
pub(crate) struct Handlers(RefCell<Vec<(String, Function)>>);

impl Handlers {
    pub(crate) fn on(&self, name: &str, handler: &Function) -> Result<(), JsValue> {
        if name.parse::<Event>().is_err() && name != BREAK_START && name != BREAK_END {
            return Err(error::argument("name", "is not an event; see AdEventName"));
        }
        self.0.borrow_mut().push((name.into(), handler.clone()));
        Ok(())
    }

    pub(crate) fn off(&self, name: &str, handler: &Function) {
        self.0.borrow_mut().retain(|(on, held)| !(on == name && held == handler));
    }

    /// Tells everyone who listens. A handler that throws is the app's fault and nobody else's trouble.
    pub(crate) fn tell(&self, name: &str, event: &JsValue) {
        let listening: Vec<_> =
            self.0.borrow().iter().filter(|(on, _)| on == name).map(|(_, handler)| handler.clone()).collect();
        for handler in listening {
            if let Err(error) = handler.call1(&JsValue::UNDEFINED, event) {
                page::error(&error);
            }
        }
    }

    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
