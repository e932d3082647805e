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

/// Nothing here panics; should it all the same, the instance stops and the page goes on.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

macro_rules! exports {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            border().$name($($argument),*)
        }
    )*};
}

exports! {
    names() -> usize;
    start(len: usize, first_sequence: u32, now_ms: f64) -> u32;
    add(len: usize, duration_ms: f64) -> i32;
    extent(place: Place, is_span: u32, duration_ms: f64);
    begin(place: Place, now_ms: f64, seen: u32);
    look(place: Place, clock_ms: f64, position_ms: f64, rate: f64, seen: u32) -> u32;
    end(place: Place, how: u32, error_code: u32, now_ms: f64) -> u32;
    click(place: Place, now_ms: f64) -> u32;
    release(place: Place);
    touch(now_ms: f64);
    wait(now_ms: f64, others: u32) -> f64;
    gather(now_ms: f64);
    hurry(now_ms: f64);
    batch(now_ms: f64) -> usize;
    settled(sequence: u32, refused: u32, now_ms: f64) -> u32;
    delivered(now_ms: f64);
    failed(now_ms: f64, random: f64);
    parting(now_ms: f64) -> usize;
    parted();
    back(now_ms: f64);
    record(now_ms: f64) -> usize;
    waiting() -> u32;
    lost(more: u32) -> u32;
    refused(more: u32) -> u32;
}

/// The address of the buffer.
#[unsafe(no_mangle)]
extern "C" fn text() -> *mut u8 {
    border().text().as_mut_ptr()
}
