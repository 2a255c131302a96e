//! How many bytes a network's connections carry: the payload of TCP, both ways, without the headers
//! of TCP and IP, as the kernel counts it for each connection (`sock_diag`). Linux only.
//!
//! The counters of the loopback device would count every other program as well, and all that
//! clients send. Here a connection is counted once, at the end that accepted it, and by who talks
//! with whom. What a connection carries between the last look and its end is not seen: so look often.

use crate::{config::Role, network::Network};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

/// What connections have carried, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Carried {
    /// Between validators: transactions, blocks, votes.
    pub(super) validators: u64,
    /// Between session nodes: steps to run again, endorsements.
    pub(super) session_nodes: u64,
    /// Between session nodes and validators: transactions one way, blocks the other.
    pub(super) layers: u64,
    /// Between clients, which this process is, and nodes.
    pub(super) clients: u64,
}

/// Who is at the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Validators,
    SessionNodes,
    Layers,
    Clients,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    inode: u32,
    /// Received, and sent and acknowledged.
    bytes: u64,
}

/// The connections of a network.
pub(super) struct Wire {
    /// Where nodes listen, and who comes there that is no client.
    servers: HashMap<SocketAddr, Link>,
    /// All connections that were seen, by their two ends, and what they had carried then.
    seen: HashMap<(SocketAddr, SocketAddr), (Link, u64)>,
}

impl Wire {
    /// Watches the connections of this network's nodes.
    pub(super) fn of(network: &Network) -> Self {
        let servers = network.nodes.iter().flat_map(|node| {
            let between = match node.config.role {
                Role::Validator => Link::Validators,
                Role::Session => Link::SessionNodes,
            };
            [(node.config.p2p, between), (node.config.http, Link::Layers)]
        });
        Self {
            servers: servers.collect(),
            seen: HashMap::new(),
        }
    }

    /// What they have carried since this watches them, and before; nothing where the system does not
    /// say.
    pub(super) fn carried(&mut self) -> Option<Carried> {
        let (sockets, own) = (kernel::sockets().ok()?, kernel::own_inodes().ok()?);
        self.look(&sockets, &own);
        Some(self.sum())
    }

    fn look(&mut self, sockets: &[Socket], own: &HashSet<u32>) {
        let own = sockets.iter().filter(|socket| own.contains(&socket.inode));
        let clients: HashSet<SocketAddr> = own.map(|socket| socket.local).collect();
        for socket in sockets {
            let Some(between) = self.servers.get(&socket.local) else {
                continue;
            };
            let ends = (socket.local, socket.remote);
            let (link, bytes) = self.seen.entry(ends).or_insert((*between, 0));
            // The kernel lists one socket after the other: a look in the middle of which a client
            // connects may show the server's end alone.
            if clients.contains(&socket.remote) {
                *link = Link::Clients;
            }
            // A port that is used anew begins at 0 again; what was before is then lost.
            *bytes = socket.bytes.max(*bytes);
        }
    }

    fn sum(&self) -> Carried {
        let mut carried = Carried::default();
        for (link, bytes) in self.seen.values() {
            *match link {
                Link::Validators => &mut carried.validators,
                Link::SessionNodes => &mut carried.session_nodes,
                Link::Layers => &mut carried.layers,
                Link::Clients => &mut carried.clients,
            } += bytes;
        }
        carried
    }
}

impl Carried {
    /// What was carried since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            validators: self.validators.saturating_sub(before.validators),
            session_nodes: self.session_nodes.saturating_sub(before.session_nodes),
            layers: self.layers.saturating_sub(before.layers),
            clients: self.clients.saturating_sub(before.clients),
        }
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    //! What Linux says of sockets.

    use super::Socket;
    use netlink_packet_core::{
        NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    };
    use netlink_packet_sock_diag::{
        SockDiagMessage,
        constants::{AF_INET, IPPROTO_TCP},
        inet::{
            ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
            nlas::{Nla, TcpInfo},
        },
    };
    use netlink_sys::{Socket as Netlink, SocketAddr as Kernel, protocols::NETLINK_SOCK_DIAG};
    use std::{collections::HashSet, fs, io, net::SocketAddr};

    /// All TCP connections over IPv4; networks on one machine have no others.
    pub(super) fn sockets() -> io::Result<Vec<Socket>> {
        let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
        netlink.bind_auto()?;
        netlink.connect(&Kernel::new(0, 0))?;
        netlink.send(&request(), 0)?;
        let mut sockets = Vec::new();
        loop {
            let (datagram, _) = netlink.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest);
                let message = message.map_err(io::Error::other)?;
                // Messages begin at multiples of four.
                let length = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(length.max(4)..).unwrap_or_default();
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        sockets.extend(socket(&response));
                    }
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Done(_) => return Ok(sockets),
                    _ => {}
                }
            }
        }
    }

    fn request() -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let request = SockDiagMessage::InetRequest(InetRequest {
            family: AF_INET,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
            states: StateFlags::ESTABLISHED,
            socket_id: SocketId::new_v4(),
        });
        let mut message = NetlinkMessage::new(header, request.into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn socket(response: &InetResponse) -> Option<Socket> {
        let info = response.nlas.iter().find_map(|nla| match nla {
            Nla::TcpInfo(info) => Some(info),
            _ => None,
        });
        let TcpInfo {
            bytes_acked,
            bytes_received,
            ..
        } = info?;
        let id = &response.header.socket_id;
        Some(Socket {
            local: SocketAddr::new(id.source_address, id.source_port),
            remote: SocketAddr::new(id.destination_address, id.destination_port),
            inode: response.header.inode,
            bytes: bytes_acked + bytes_received,
        })
    }

    /// The sockets of this process.
    pub(super) fn own_inodes() -> io::Result<HashSet<u32>> {
        let files = fs::read_dir("/proc/self/fd")?.flatten();
        let links = files.filter_map(|file| fs::read_link(file.path()).ok());
        let inodes = links.filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse().ok()
        });
        Ok(inodes.collect())
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    //! Other systems do not say.

    use super::Socket;
    use std::{collections::HashSet, io};

    pub(super) fn sockets() -> io::Result<Vec<Socket>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn own_inodes() -> io::Result<HashSet<u32>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
    };

    fn wire(server: SocketAddr, link: Link) -> Wire {
        Wire {
            servers: [(server, link)].into(),
            seen: HashMap::new(),
        }
    }

    #[test]
    fn what_a_client_sends_and_gets_is_counted_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut wire = wire(listener.local_addr().unwrap(), Link::Layers);
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let before = wire.carried().unwrap();
        let mut buffer = vec![0; 10_000];
        client.write_all(&buffer).unwrap();
        server.read_exact(&mut buffer).unwrap();
        server.write_all(&[1; 500]).unwrap();
        client.read_exact(&mut buffer[..500]).unwrap();
        // The kernel counts as sent what is acknowledged, which takes a moment.
        let mut carried = Carried::default();
        while carried.clients < 10_500 {
            carried = wire.carried().unwrap().since(before);
            std::thread::yield_now();
        }
        let wanted = Carried {
            clients: 10_500,
            ..Carried::default()
        };
        assert_eq!(carried, wanted);
    }

    #[test]
    fn links_are_told_apart_and_one_that_is_over_still_counts() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let socket = |local, remote, inode, bytes| Socket {
            local: at(local),
            remote: at(remote),
            inode,
            bytes,
        };
        let mut wire = wire(at(5000), Link::Layers);
        wire.servers.insert(at(26600), Link::Validators);
        // A client, which has socket 7, a session node and another validator.
        let client = [socket(5000, 9000, 1, 10), socket(9000, 5000, 7, 10)];
        let others = [socket(5000, 9001, 2, 20), socket(26600, 9002, 3, 40)];
        wire.look(&[&client[..], &others[..]].concat(), &HashSet::from([7]));
        wire.look(&[socket(26600, 9002, 3, 80)], &HashSet::new());
        let wanted = Carried {
            validators: 80,
            session_nodes: 0,
            layers: 20,
            clients: 10,
        };
        assert_eq!(wire.sum(), wanted);
    }
    /// A look that begins before a client is connected can find the node's end of the connection only. What the
    /// client carried was then counted between the layers for ever.
    #[test]
    fn a_client_that_was_still_connecting_at_the_first_look_is_one_at_the_next() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let end = |local, remote, inode| Socket {
            local: at(local),
            remote: at(remote),
            inode,
            bytes: 10,
        };
        let mut wire = wire(at(5000), Link::Layers);
        let own = HashSet::from([7]);
        wire.look(&[end(5000, 9000, 1)], &own);
        wire.look(&[end(5000, 9000, 1), end(9000, 5000, 7)], &own);
        let wanted = Carried {
            clients: 10,
            ..Carried::default()
        };
        assert_eq!(wire.sum(), wanted);
    }
}
