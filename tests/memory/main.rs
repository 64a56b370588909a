//! Passwords and tokens that are left in this process's memory after their cache was
//! dropped. A separate program, because other tests have secrets too.

#[cfg(target_os = "linux")]
mod allocator;
#[cfg(target_os = "linux")]
mod marks;
#[cfg(target_os = "linux")]
mod runs;
#[cfg(target_os = "linux")]
mod scan;

#[cfg(target_os = "linux")]
fn main() {
    nothing_secret_outlives_its_cache_in_process();
    println!("test nothing_secret_outlives_its_cache_in_process ... ok");
}

#[cfg(target_os = "linux")]
fn nothing_secret_outlives_its_cache_in_process() {
    // The first has no HTTP client; the others show what a client leaves.
    let mut all = vec![runs::in_process()];
    #[cfg(feature = "reqwest")]
    all.extend([runs::hyper(), runs::reqwest()]);
    for run in &all {
        println!("{run}");
    }
    let left = all[0].left();
    assert_eq!(left, 0, "{left} secrets are left in memory: {}", all[0]);
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("a process reads its own memory on Linux only: nothing is checked here");
}
