//! How many arenas the system's allocator has in a node.
//!
//! glibc gives threads arenas of their own, up to eight for each core, and memory that is free in one
//! is of no use to another. A node has many threads that come and go; with two arenas a validator
//! under full load needs 93 MiB and not 121, and is as fast. glibc reads the number when a process
//! begins, and nowhere else without unsafe code: so the program begins once more, as the same
//! process, with the variable set. Whoever sets it gets what was set.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn limit() {
    use std::{env, os::unix::process::CommandExt as _, process::Command};

    const VARIABLE: &str = "MALLOC_ARENA_MAX";
    let mut arguments = env::args_os();
    let (Ok(program), Some(name)) = (env::current_exe(), arguments.next()) else {
        return;
    };
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let mut again = Command::new(program);
    again.arg0(name).args(arguments).env(VARIABLE, "2");
    // It returns only where the program could not be begun anew: then this one goes on as it is.
    let _ = again.exec();
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn limit() {}
