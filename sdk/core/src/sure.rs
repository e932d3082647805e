//! What must be there.

/// The value, which must be there. Should it not be, that is a panic natively, where tests and fuzzing would find it. In wasm it is a
/// trap, without a message that every viewer would pay for; and televisions' wasm is made on the word that it never happens.
pub fn sure<T>(value: Option<T>) -> T {
    match value {
        Some(value) => value,
        #[cfg(target_family = "wasm")]
        None => core::arch::wasm32::unreachable(),
        #[cfg(not(target_family = "wasm"))]
        None => unreachable!("out of bounds"),
    }
}
