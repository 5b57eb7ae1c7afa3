//! Reads the architecture of a binary from the header of its file (ELF: `elf(5)`).

use std::io::Read;
use std::path::Path;

use stacks::environment::Architecture;

/// The bytes of the header up to `e_machine`.
const HEADER: usize = 20;
/// `ELFMAG`, `ELFCLASS64`, `ELFDATA2LSB`.
const OF_64_BITS: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];

/// Why a binary cannot be a function.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRunnable {
    #[error("it cannot be read")]
    Unreadable(#[from] std::io::Error),
    #[error("it is not a program for 64-bit Linux")]
    NoProgram,
    #[error("it is for the machine type {0} of ELF; Lambda has 62 (`x86_64`) and 183 (`arm64`)")]
    OtherMachine(u16),
}

/// The architecture of the binary at `path`.
pub(super) fn architecture(path: &Path) -> Result<Architecture, NotRunnable> {
    let mut header = Vec::with_capacity(HEADER);
    let file = std::fs::File::open(path)?;
    file.take(HEADER as u64).read_to_end(&mut header)?;
    let machine = header
        .get(18..HEADER)
        .filter(|_| header.starts_with(&OF_64_BITS));
    let machine = machine.and_then(|bytes| <[u8; 2]>::try_from(bytes).ok());
    let machine = u16::from_le_bytes(machine.ok_or(NotRunnable::NoProgram)?);
    Architecture::ALL
        .into_iter()
        .find(|one| number(*one) == machine)
        .ok_or(NotRunnable::OtherMachine(machine))
}

/// `EM_X86_64` and `EM_AARCH64`.
const fn number(architecture: Architecture) -> u16 {
    match architecture {
        Architecture::Arm64 => 183,
        Architecture::X8664 => 62,
    }
}

/// The header of a binary for this architecture.
#[cfg(test)]
pub(super) fn header(of: Architecture) -> Vec<u8> {
    let mut header = OF_64_BITS.to_vec();
    header.resize(18, 0);
    header.extend(number(of).to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Architecture, NotRunnable> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bootstrap");
        std::fs::write(&path, bytes).unwrap();
        architecture(&path)
    }

    #[test]
    fn a_program_says_what_it_runs_on() {
        let this = std::env::current_exe().unwrap();
        assert_eq!(architecture(&this).unwrap(), Architecture::host());
        for one in Architecture::ALL {
            assert_eq!(of(&header(one)).unwrap(), one);
        }
    }

    #[test]
    fn what_lambda_cannot_run_is_refused() {
        assert!(matches!(of(b""), Err(NotRunnable::NoProgram)));
        assert!(matches!(of(b"#!/bin/sh"), Err(NotRunnable::NoProgram)));
        let mut of_32_bits = header(Architecture::X8664);
        of_32_bits[4] = 1;
        assert!(matches!(of(&of_32_bits), Err(NotRunnable::NoProgram)));
        let mut risc_v = header(Architecture::X8664);
        risc_v[18] = 243;
        assert!(matches!(of(&risc_v), Err(NotRunnable::OtherMachine(243))));
    }
}
