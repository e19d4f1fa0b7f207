//! The arguments of this process as ps(1) shows them: the memory that the kernel reads for /proc/PID/cmdline.

#![allow(unsafe_code, reason = "std only copies the arguments; what ps shows is the memory they were passed in")]

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::slice;

/// The memory in which the arguments were passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    start: *mut u8,
    length: usize,
}

impl Area {
    /// Shows `name` as the only argument. Async-signal-safe.
    ///
    /// # Safety
    /// Nothing may refer to the arguments of the process any more.
    pub(super) unsafe fn show(self, name: &CStr) {
        let shown = name.count_bytes().min(self.length.saturating_sub(1));
        // SAFETY: the area was found by `area`, and at most its length is written.
        unsafe {
            std::ptr::write_bytes(self.start, 0, self.length);
            std::ptr::copy_nonoverlapping(name.as_ptr().cast(), self.start, shown);
        }
    }
}

/// Finds the memory of the arguments, or `None` where it does not hold `arguments` as they were passed.
pub(super) fn area(arguments: &[OsString]) -> Option<Area> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let count = arguments.len();
    // SAFETY: the kernel puts the argument pointers, a null, and the environment's pointers into one array on the stack
    // (execve(2), the System V ABI's "process initialization"), and nothing in pushwrap changes its environment, so that
    // `environ` still points into this array: `count + 1` pointers before it are readable.
    let passed = unsafe {
        if environ.is_null() {
            return None;
        }
        slice::from_raw_parts(environ.sub(count + 1), count + 1)
    };
    let mut next = *passed.first()?;
    let start = next;
    for (pointer, argument) in passed.iter().zip(arguments) {
        // SAFETY: each of the pointers is an argument of the process: a C string.
        let is_argument = !pointer.is_null()
            && *pointer == next
            && unsafe { CStr::from_ptr(*pointer) }.to_bytes() == argument.as_bytes();
        if !is_argument {
            return None;
        }
        next = next.wrapping_add(argument.len() + 1);
    }
    passed.last()?.is_null().then_some(())?;
    let length = arguments.iter().map(|argument| OsStr::len(argument) + 1).sum();
    Some(Area { start: start.cast_mut().cast(), length })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::area;

    #[test]
    fn the_arguments_are_where_the_kernel_has_put_them() {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        assert!(area(&arguments).is_some());
        assert!(area(&["something else".into()]).is_none());
    }
}
