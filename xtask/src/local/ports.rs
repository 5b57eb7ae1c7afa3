//! Loopback ports: which are free, and which process uses one.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::Context as _;

/// Whether it is possible to listen on a loopback port now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Ports below those that systems give to outgoing connections (`ip_local_port_range`): one of these
/// is not taken by a connection before its process listens.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
/// Number of random ports to try.
const TRIES: usize = 100;

/// `wanted` if it is free, otherwise any free port.
pub(crate) fn free_port(wanted: Option<u16>) -> anyhow::Result<u16> {
    if let Some(port) = wanted.filter(|port| is_free(*port)) {
        return Ok(port);
    }
    for _ in 0..TRIES {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).context("choosing a port")?;
        let port = FIRST + u16::from_be_bytes(bytes) % (LAST - FIRST);
        if is_free(port) {
            return Ok(port);
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}

/// The process that listens on a port, in words that the user understands, if this user may see it.
pub(crate) fn taken_by(port: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = listener_inode(&table, port)?;
    let target = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let process = processes
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .map(|entry| entry.path())
        .find(|process| holds(process, &target))?;
    let arguments = std::fs::read(process.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&arguments).replace('\0', " ");
    let pid = process.file_name()?.to_string_lossy().into_owned();
    Some(format!("process {pid} (`{}`)", command.trim()))
}

fn holds(process: &Path, target: &str) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == target)
    })
}

/// The socket that listens on a port, from the lines of `/proc/net/tcp` (proc(5)).
fn listener_inode(table: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (_, hex) = fields.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(hex, 16) == Ok(port) && *fields.get(3)? == LISTEN;
        matches.then(|| fields.get(9).copied()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_port_is_kept_while_free_and_left_when_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert_ne!(free_port(Some(taken)).unwrap(), taken);
        let owner = taken_by(taken).unwrap();
        let this = format!("process {} ", std::process::id());
        assert!(owner.starts_with(&this), "{owner}");
        drop(listener);
        assert_eq!(free_port(Some(taken)).unwrap(), taken);
    }

    #[test]
    fn a_chosen_port_is_none_that_an_outgoing_connection_may_get() {
        for _ in 0..100 {
            let port = free_port(None).unwrap();
            assert!((FIRST..LAST).contains(&port), "{port}");
        }
    }

    #[test]
    fn only_listeners_count() {
        let table = "head\n\
            0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 11 1\n\
            1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 22 1\n";
        assert_eq!(listener_inode(table, 8080), Some("22"));
        assert_eq!(listener_inode(table, 8081), None);
    }
}
