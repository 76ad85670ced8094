//! The pages of the program's own code.

use std::fs;
use std::io;

use rustix::mm::{Advice, madvise};

/// Lets go of the code that is mapped by now, once the server has started: most of it was for reading options and
/// configuration, and is not run again. What is run is mapped again, from the kernel's cache, at its next use.
///
/// # Errors
/// There is no `/proc`, or the pages are locked in memory.
pub fn let_go_of_start() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let here = let_go_of_start as *const () as usize;
    let (start, end) =
        maps.lines().find_map(|line| code_around(line, here)).ok_or(io::ErrorKind::NotFound)?;
    // SAFETY: the range is a private mapping of the program's file that nothing can have written to: each page of
    // it reads the same when it is mapped again.
    unsafe { madvise(start as *mut _, end - start, Advice::LinuxDontNeed)? };
    Ok(())
}

/// The range of a line of `maps`, where it is read-only code with this address in it.
fn code_around(line: &str, address: usize) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    (rest.starts_with("r-xp ") && (start..end).contains(&address)).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_around_the_address_is_meant() {
        let line = |rights: &str| format!("55d000-56e000 {rights} 00265000 fe:00 123 /usr/bin/socket-server");
        assert_eq!(code_around(&line("r-xp"), 0x560000), Some((0x55d000, 0x56e000)));
        assert_eq!(code_around(&line("r-xp"), 0x56e000), None);
        assert_eq!(code_around(&line("rw-p"), 0x560000), None);
        assert_eq!(code_around("", 0), None);
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let_go_of_start().expect("the pages are let go");
        assert_eq!(code_around("1000-2000 r-xp 0", 0x1000), Some((0x1000, 0x2000)));
    }
}
