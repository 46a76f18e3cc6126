//! Faults that are planted on purpose, so that the fault harness can show that it finds them.
//!
//! Only with the feature `mutations`, which nothing but the harness's tests switches on. Without it [`active`] is a
//! constant `false`, and what it guards is compiled to nothing.

#[cfg(feature = "mutations")]
thread_local! {
    static PLANTED: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// Whether the fault of this name is planted in this thread.
#[cfg(feature = "mutations")]
pub fn active(name: &str) -> bool {
    PLANTED.with_borrow(|planted| planted.as_deref() == Some(name))
}

/// Never: no fault is planted in what is shipped.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
#[expect(clippy::inline_always, reason = "so that it compiles to nothing")]
pub const fn active(_: &str) -> bool {
    false
}

/// Plants the fault of this name in this thread, or takes the last one out.
#[cfg(feature = "mutations")]
pub fn plant(name: Option<&str>) {
    PLANTED.set(name.map(str::to_owned));
}
