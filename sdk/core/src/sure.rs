//! What is there, as far as anyone can see from here.

/// The value that must be there. Should it not be, wasm traps, without a message that every viewer would pay for.
pub fn sure<T>(value: Option<T>) -> T {
    match value {
        Some(value) => value,
        #[cfg(target_family = "wasm")]
        None => core::arch::wasm32::unreachable(),
        #[cfg(not(target_family = "wasm"))]
        None => unreachable!("out of bounds"),
    }
}
