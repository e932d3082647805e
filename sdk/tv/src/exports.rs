//! What the wasm module exports: the methods of [`Border`], of its one instance.

#![expect(unsafe_code, reason = "wasm exports, and a static that is the one client of this instance")]

use core::{cell::UnsafeCell, panic::PanicInfo};

use slotkeeper_sdk_core::client::Place;

use crate::Border;

struct Instance(UnsafeCell<Border>);

// SAFETY: an instance of this module has one thread, since it neither shares its memory nor starts any.
unsafe impl Sync for Instance {}

static INSTANCE: Instance = Instance(UnsafeCell::new(Border::new()));

fn border() -> &'static mut Border {
    // SAFETY: one thread, and no export calls another or the page, so there is never a second reference.
    unsafe { &mut *INSTANCE.0.get() }
}

/// Nothing here panics; that it does not is what `wasm-opt` is told.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

macro_rules! exports {
    ($($short:literal $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        #[unsafe(export_name = $short)]
        extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            border().$name($($argument),*)
        }
    )*};
}

// Under short names, since every viewer loads them; `glue.js` has the same list.
exports! {
    "s" start(first_sequence: u32, now_ms: f64);
    "a" add(duration_ms: f64) -> i32;
    "e" extent(place: Place, duration_ms: f64, is_span: u32);
    "b" begin(place: Place, now_ms: f64, seen: u32);
    "l" look(place: Place, clock_ms: f64, position_ms: f64, rate: f64, seen: u32) -> u32;
    "d" act(place: Place, now_ms: f64, how: u32, error_code: u32) -> u32;
    "w" wait(now_ms: f64, others: u32) -> i32;
    "p" pace(what: u32, now_ms: f64, random: f64);
    "t" write(what: u32, now_ms: f64) -> usize;
    "n" number(at: usize) -> u32;
    "o" settled(sequence: u32, now_ms: f64, refused: u32);
    "g" part(bytes: usize, is_taken: u32) -> u32;
    "c" count(what: u32, more: u32) -> u32;
}
