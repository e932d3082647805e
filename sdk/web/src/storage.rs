//! What survives a power cut: the client's record and its receipts, in `localStorage`.
//!
//! A client writes under keys of its own; at its start it takes over what others left, and posts it until the origin has it.
//! The others may still live, in another tab: then the origin hears the same twice, which is harmless, and so a key is only
//! removed while its value is the one that was posted.

use alloc::{rc::Rc, string::String, vec::Vec};
use core::cell::Cell;

use slotkeeper_sdk_core::ring::BATCH_BYTES_MAX;
use wasm_bindgen::JsCast as _;
use web_sys::Storage;

use crate::{
    delivery::{Receipt, count},
    object, page,
    session::Session,
};

/// Under what a record and a receipt lie: this and something random. The value is a line with the time it was written at (in
/// milliseconds since 1970, as the device knew it), and the text.
const RECORD: &str = "slotkeeper1:";
const RECEIPT: &str = "slotkeeper1r:";
/// The most that is taken over of each.
const TAKEN_OVER_MAX: usize = 8;
/// How old it may be, in milliseconds: tokens expire long before.
const AGE_MS_MAX: f64 = 7.0 * 24.0 * 3_600_000.0;

/// Where this client stores.
pub(crate) struct Store {
    storage: Option<Storage>,
    key: String,
}

/// A record that another client left.
pub(crate) struct Replay {
    key: String,
    value: String,
    /// Where in the value the batch begins, and where its first line ends.
    begin: usize,
    head_end: usize,
    written_at_ms: f64,
    pub(crate) session_id: String,
    pub(crate) sequence: u32,
}

impl Store {
    pub(crate) fn new(is_wanted: bool) -> Self {
        let storage = object::get(&page::window(), "localStorage");
        let storage = if is_wanted && storage.is_object() { Some(storage.unchecked_into()) } else { None };
        Self { storage, key: fresh_key(RECORD) }
    }

    fn get(&self, key: &str) -> Option<String> {
        self.storage.as_ref()?.get_item(key).ok()?
    }

    /// Where storage is full or forbidden, a power cut may take it.
    fn set(&self, key: &str, text: &str) {
        if let Some(storage) = &self.storage {
            let _ = storage.set_item(key, &[&object::stringify(&page::unix_ms().into()), "\n", text].concat());
        }
    }

    fn remove(&self, key: &str) {
        if let Some(storage) = &self.storage {
            let _ = storage.remove_item(key);
        }
    }

    fn keys(&self) -> Vec<String> {
        let Some(storage) = &self.storage else { return Vec::new() };
        (0..storage.length().unwrap_or_default()).filter_map(|nth| storage.key(nth).ok().flatten()).collect()
    }
}

fn fresh_key(prefix: &str) -> String {
    [prefix, &page::fresh_id()].concat()
}

impl Session {
    /// Stores what must survive, or that nothing must.
    pub(crate) fn store_record(&self) {
        let mut is_any = false;
        let text = page::write(BATCH_BYTES_MAX, |text| {
            is_any = self.client.borrow().record(text, page::clock_ms());
        });
        if is_any {
            self.store.set(&self.store.key, &text);
        } else {
            self.store.remove(&self.store.key);
        }
    }

    /// Stores a receipt under a key of its own.
    pub(crate) fn store_receipt(&self, text: &str) -> Rc<Receipt> {
        let key = fresh_key(RECEIPT);
        self.store.set(&key, text);
        Rc::new(Receipt { key, text: text.into(), parted: Cell::default() })
    }

    /// Nobody needs it any more.
    pub(crate) fn forget(&self, key: &str) {
        self.store.remove(key);
    }

    /// The origin has it, unless its writer lives and has written more.
    pub(crate) fn forget_if_same(&self, replay: &Replay) {
        if self.store.get(&replay.key).as_deref() == Some(&replay.value) {
            self.store.remove(&replay.key);
        }
    }

    /// Takes over what others left.
    pub(crate) fn take_over(&self) {
        let now_ms = page::unix_ms();
        for key in self.store.keys() {
            let (is_record, is_receipt) = (key.starts_with(RECORD), key.starts_with(RECEIPT));
            if !is_record && !is_receipt {
                continue;
            }
            let Some(value) = self.store.get(&key) else { continue };
            let begin = value.find('\n').map_or(0, |end| end + 1);
            let (line, text) = value.split_at(begin);
            let written_at_ms = object::parse(line).as_f64().unwrap_or_default();
            if now_ms - written_at_ms > AGE_MS_MAX {
                self.client.borrow_mut().count_lost(if is_record { count(text) } else { 1 });
                self.store.remove(&key);
            } else if is_receipt {
                if self.receipts.borrow().len() < TAKEN_OVER_MAX {
                    let text = text.into();
                    self.keep_receipt(Rc::new(Receipt { key, text, parted: Cell::default() }));
                }
            } else if let Some(replay) = Replay::read(&key, &value, begin, written_at_ms) {
                if self.replays.borrow().len() < TAKEN_OVER_MAX {
                    self.replays.borrow_mut().push(Rc::new(replay));
                }
            } else {
                self.store.remove(&key);
            }
        }
        if !self.receipts.borrow().is_empty() || !self.replays.borrow().is_empty() {
            self.client.borrow_mut().gather(page::clock_ms());
        }
    }
}

impl Replay {
    fn read(key: &str, value: &str, begin: usize, written_at_ms: f64) -> Option<Self> {
        let head_end = begin + value.get(begin..)?.find('\n')?;
        let mut words = value.get(begin..head_end)?.split(' ');
        let _version = words.next()?;
        let session_id = words.next()?.into();
        let sequence = words.next()?.parse().ok()?;
        let _lost = words.next()?;
        Some(Self { key: key.into(), value: value.into(), begin, head_end, written_at_ms, session_id, sequence })
    }

    /// How many beacons it holds.
    pub(crate) fn count(&self) -> u32 {
        count(self.value.get(self.begin..).unwrap_or_default())
    }

    /// The batch as it is posted now: its first line says how long it lay.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
    pub(crate) fn text(&self, unix_ms: f64) -> String {
        let held_ms = page::write(10, |text| text.number((unix_ms - self.written_at_ms) as u32));
        let head = self.value.get(self.begin..self.head_end).unwrap_or_default();
        [head, " ", &held_ms, self.value.get(self.head_end..).unwrap_or_default()].concat()
    }
}
