//! The pages of the program's own file.

use std::fs;
use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// Lets go of the code and the constants that are mapped by now, once the server has started: most of them were for
/// reading options and configuration, and are not needed again. What is needed is mapped again, from the kernel's cache,
/// at its next use.
///
/// # Errors
/// There is no `/proc`, or the pages are locked in memory.
pub fn let_go_of_start() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let here = let_go_of_start as *const () as usize;
    let mappings: Vec<_> = maps.lines().filter_map(Mapping::parse).collect();
    let code = mappings.iter().find(|m| m.range.contains(&here)).ok_or(io::ErrorKind::NotFound)?;
    for Mapping { range, .. } in mappings.iter().filter(|m| m.is_unchanged() && m.file == code.file) {
        // SAFETY: the range is a private mapping of the program's file that nothing has written to: each page of it
        // reads the same when it is mapped again.
        unsafe { madvise(range.start as *mut _, range.len(), Advice::LinuxDontNeed)? };
    }
    Ok(())
}

/// A line of `maps`.
#[derive(Debug, PartialEq)]
struct Mapping<'a> {
    range: Range<usize>,
    rights: &'a str,
    offset: &'a str,
    /// Device, inode and path.
    file: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(4, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        Some(Self { range, rights: fields.next()?, offset: fields.next()?, file: fields.next()? })
    }

    /// Code, or what lies before it in the file: constants. The loader has written to read-only pages behind it.
    fn is_unchanged(&self) -> bool {
        self.rights == "r-xp" || self.rights == "r--p" && self.offset.bytes().all(|b| b == b'0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nothing_has_written_to_is_let_go() {
        let unchanged = |rights, offset| {
            let line = format!("55d000-56e000 {rights} {offset} fe:00 123     /usr/bin/socket-server");
            let mapping = Mapping::parse(&line).unwrap();
            assert_eq!(
                (mapping.range.clone(), mapping.file.split(' ').next()),
                (0x55d000..0x56e000, Some("fe:00"))
            );
            mapping.is_unchanged()
        };
        assert!(unchanged("r-xp", "00265000") && unchanged("r--p", "00000000"));
        assert!(
            !unchanged("r--p", "00a14000")
                && !unchanged("rw-p", "00000000")
                && !unchanged("rwxp", "00000000")
        );
        assert_eq!(Mapping::parse(""), None);
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let_go_of_start().expect("the pages are let go");
        assert_eq!(Mapping::parse("1000-2000 r-xp 0 f").map(|m| m.range), Some(0x1000..0x2000));
    }
}
