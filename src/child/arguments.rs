//! The arguments of this process as ps(1) shows them: the memory that the kernel reads for /proc/PID/cmdline.

#![allow(unsafe_code, reason = "std only copies the arguments; what ps shows is the memory they were passed in")]

use std::ffi::{CStr, OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::slice;

/// Where the secrets stand in the arguments before the first `--`, counted in bytes from the beginning of the first one. A
/// value is an argument or the end of one (`--user=VALUE`, `-uVALUE`); what follows `--` is the command's.
fn secret_ranges(arguments: &[OsString], secrets: &[(&str, Range<usize>)]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for argument in arguments.iter().take_while(|argument| *argument != "--") {
        let end = start + argument.len();
        for (value, secret) in secrets.iter().filter(|(value, _)| argument.as_bytes().ends_with(value.as_bytes())) {
            let value_start = end - value.len();
            ranges.push(value_start + secret.start..value_start + secret.end);
        }
        start = end + 1;
    }
    ranges
}

/// The memory in which the arguments were passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    start: *mut u8,
    length: usize,
}

impl Area {
    /// Writes `x` over every byte of a secret, as curl does it: values of the arguments, and where the secret stands in each.
    pub(super) fn blank(self, arguments: &[OsString], secrets: &[(&str, Range<usize>)]) {
        for range in secret_ranges(arguments, secrets).into_iter().filter(|range| range.end <= self.length) {
            // SAFETY: the area is the memory of these arguments, and the range lies in it. Nothing refers to it: std copies.
            unsafe { std::ptr::write_bytes(self.start.add(range.start), b'x', range.len()) };
        }
    }

    /// Shows `name` as the only argument. Async-signal-safe.
    ///
    /// # Safety
    /// Nothing may refer to the arguments of the process any more.
    pub(super) unsafe fn show(self, name: &CStr) {
        let copied = name.count_bytes().min(self.length.saturating_sub(1));
        // SAFETY: the area was found by `area`, and at most its length is written.
        unsafe {
            std::ptr::write_bytes(self.start, 0, self.length);
            std::ptr::copy_nonoverlapping(name.as_ptr().cast(), self.start, copied);
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

    use super::{area, secret_ranges};

    #[test]
    fn secrets_are_found_in_values_before_the_command() {
        let arguments = ["pushwrap", "-uu:pw", "--user", "u:pw", "--", "x", "u:pw"].map(OsString::from);
        assert_eq!(secret_ranges(&arguments, &[("u:pw", 2..4)]), [13..15, 25..27]);
    }

    #[test]
    fn the_arguments_are_where_the_kernel_has_put_them() {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        assert!(area(&arguments).is_some());
        assert!(area(&["something else".into()]).is_none());
    }
}
