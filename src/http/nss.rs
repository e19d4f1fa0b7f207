//! A statically linked glibc loads the host's name service modules at the first lookup, and with them the host's own libc:
//! where the versions differ, the process dies. So the static binary asks only for the modules that are built in.

/// Lets glibc resolve hosts with /etc/hosts and DNS only, whatever /etc/nsswitch.conf says. Does nothing unless the
/// binary is linked statically against glibc. The price: names that only mDNS or systemd's own modules know do not
/// resolve, as with musl and Go.
pub(crate) fn use_built_in_modules() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    configure::hosts();
}

#[cfg(all(target_env = "gnu", any(target_feature = "crt-static", test)))]
mod configure {
    #![allow(unsafe_code, reason = "glibc's call has no safe wrapper")]

    use std::ffi::{CStr, c_char, c_int};
    use std::sync::Once;

    unsafe extern "C" {
        // nss.h of glibc: public since 2.0, and linked into the static library.
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    const DATABASE: &CStr = c"hosts";
    const SERVICES: &CStr = c"files dns";

    pub(crate) fn hosts() -> bool {
        static ONCE: Once = Once::new();
        let mut done = true;
        ONCE.call_once(|| {
            // SAFETY: both arguments are NUL-terminated and live for ever; glibc takes its own lock for the change. A call
            // that fails leaves the configuration of the host in place.
            done = unsafe { __nss_configure_lookup(DATABASE.as_ptr(), SERVICES.as_ptr()) } == 0;
        });
        done
    }

    #[cfg(test)]
    mod tests {
        use std::net::ToSocketAddrs;

        #[test]
        fn glibc_takes_the_services_and_still_resolves_names() {
            assert!(super::hosts());
            let found = ("127.0.0.1", 1).to_socket_addrs().unwrap().count();
            assert_eq!(found, 1);
        }
    }
}
