//! Free ports on loopback: the wanted one, or where that is taken one of the system's choice.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Picks ports, each once. They stay bound until this is dropped, so that no two picks are the
/// same; whoever is to listen on them binds after that.
#[derive(Default)]
pub(crate) struct Ports {
    held: Vec<TcpListener>,
}

impl Ports {
    /// The wanted port on loopback where it is free, or another; port 0 wants none in particular.
    pub(crate) fn claim(&mut self, wanted: u16) -> io::Result<SocketAddr> {
        self.claim_on((Ipv4Addr::LOCALHOST, wanted).into())
    }

    /// The wanted address where it is free, or another port of the same host.
    pub(crate) fn claim_on(&mut self, wanted: SocketAddr) -> io::Result<SocketAddr> {
        let listener = match TcpListener::bind(wanted) {
            // Taken, or not for this user (ports below 1024).
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
                ) =>
            {
                TcpListener::bind((wanted.ip(), 0))?
            }
            listener => listener?,
        };
        let address = listener.local_addr()?;
        self.held.push(listener);
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_free_port_is_taken_as_wanted_and_a_taken_one_is_replaced() {
        let mut ports = Ports::default();
        // Some other program may take the port between the two claims, but not ten times.
        let free = (0..10).find_map(|_| {
            let free = Ports::default().claim(0).unwrap();
            (ports.claim(free.port()).unwrap() == free).then_some(free)
        });
        let free = free.unwrap();
        let other = ports.claim(free.port()).unwrap();
        assert_ne!(other, free);
        assert!(other.ip().is_loopback());
    }

    #[test]
    fn no_port_is_picked_twice() {
        let mut ports = Ports::default();
        let mut picked: Vec<_> = (0..32).map(|_| ports.claim(0).unwrap()).collect();
        picked.sort();
        picked.dedup();
        assert_eq!(picked.len(), 32);
    }
}
