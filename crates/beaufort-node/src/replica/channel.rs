//! One WebRTC connection, without I/O: the two data channels that a page has too (`connection.js`), `agreement` for
//! the replicas' bytes and `signaling` for what makes further connections. Who is at the other end is not known
//! here: the handshake proves it, bound to [`Channel::binding`].

use std::{collections::VecDeque, net::SocketAddr, time::Instant};
use str0m::{
    Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcError,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    channel::{ChannelConfig, ChannelId},
    net::{Protocol, Receive},
};

/// What may wait inside the transport, in bytes: more than the longest message has.
const BUFFER: usize = 1024 * 1024;
/// A connection for which this many bytes wait is too slow to be of use.
const MAX_WAITING: usize = 16 * 1024 * 1024;
/// How many messages the other end may send before both channels are open: its part of the handshake.
const MAX_EARLY: usize = 8;

/// A datagram to send.
pub(super) type Datagram = (SocketAddr, Vec<u8>);

/// What came of a connection.
pub(super) enum Happened {
    /// Both channels are open.
    Opened,
    /// Of the handshake, or of the replica.
    Bytes(Vec<u8>),
    /// Of what makes further connections.
    Text(String),
    /// It is of no use any more. Nothing follows.
    Closed(String),
}

/// A connection, from its first offer.
pub(super) struct Channel {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    ids: [ChannelId; 2],
    open: [bool; 2],
    local: String,
    remote: String,
    early: Vec<Vec<u8>>,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// By when to poll again.
    pub(super) wake: Instant,
}

fn configs() -> [ChannelConfig; 2] {
    [("agreement", 0), ("signaling", 1)].map(|(label, id)| ChannelConfig {
        label: label.to_owned(),
        negotiated: Some(id),
        ..ChannelConfig::default()
    })
}

fn rtc(address: SocketAddr, now: Instant) -> Result<Rtc, RtcError> {
    let mut rtc = Rtc::builder()
        .clear_codecs()
        .set_sctp_max_buffered_amount(BUFFER)
        .build(now);
    rtc.add_local_candidate(Candidate::host(address, "udp")?);
    Ok(rtc)
}

/// The certificate fingerprints in a session description, in an order of their own, as `connection.js` has them.
fn fingerprints(sdp: &str) -> String {
    let lines = sdp.lines().map(|line| line.trim().to_ascii_lowercase());
    let mut lines: Vec<_> = lines
        .filter(|line| line.starts_with("a=fingerprint:"))
        .collect();
    lines.sort();
    lines.dedup();
    lines.join(",")
}

impl Channel {
    /// Begins a connection from this address; also returns the offer.
    pub(super) fn offer(address: SocketAddr, now: Instant) -> Result<(Self, String), String> {
        let mut rtc = rtc(address, now).map_err(|error| error.to_string())?;
        let mut changes = rtc.sdp_api();
        let ids = configs().map(|config| changes.add_channel_with_config(config));
        let (offer, pending) = changes.apply().ok_or("there is nothing to offer")?;
        let sdp = offer.to_sdp_string();
        let channel = Self::new(rtc, ids, Some(pending), &sdp, "", now);
        Ok((channel, sdp))
    }

    /// Takes an offer up; also returns the answer.
    pub(super) fn answer(
        address: SocketAddr,
        offer: &str,
        now: Instant,
    ) -> Result<(Self, String), String> {
        let mut rtc = rtc(address, now).map_err(|error| error.to_string())?;
        let ids = configs().map(|config| rtc.direct_api().create_data_channel(config));
        let answer = accept(&mut rtc, offer)?;
        let channel = Self::new(rtc, ids, None, &answer, offer, now);
        Ok((channel, answer))
    }

    fn new(
        rtc: Rtc,
        ids: [ChannelId; 2],
        pending: Option<SdpPendingOffer>,
        local: &str,
        remote: &str,
        now: Instant,
    ) -> Self {
        Self {
            rtc,
            pending,
            ids,
            open: [false; 2],
            local: fingerprints(local),
            remote: fingerprints(remote),
            early: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            wake: now,
        }
    }

    /// Takes the answer to the offer.
    pub(super) fn take_answer(&mut self, sdp: &str) -> Result<(), String> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(|error| error.to_string())?;
        self.remote = fingerprints(sdp);
        let taken = self.rtc.sdp_api().accept_answer(pending, answer);
        taken.map_err(|error| error.to_string())
    }

    /// Takes a further offer in the same session, which looks for another path; returns the answer. One with
    /// another certificate is somebody else's, and is left alone.
    pub(super) fn take_offer(&mut self, sdp: &str) -> Result<Option<String>, String> {
        if self.pending.is_some() || fingerprints(sdp) != self.remote {
            return Ok(None);
        }
        accept(&mut self.rtc, sdp).map(Some)
    }

    /// Takes a way to reach the other end. Names that browsers put in place of their addresses are left alone: the
    /// other end then comes to this one.
    pub(super) fn take_candidate(&mut self, candidate: &str) {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    /// What the handshake is bound to: the fingerprints of this end's certificate and of the other one's.
    pub(super) fn binding(&self) -> (&str, &str) {
        (&self.local, &self.remote)
    }

    /// Takes a datagram, if it belongs to this connection.
    pub(super) fn datagram(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> bool {
        let Ok(received) = Receive::new(Protocol::Udp, source, destination, bytes) else {
            return false;
        };
        let input = Input::Receive(now, received);
        if !self.rtc.accepts(&input) {
            return false;
        }
        if self.rtc.handle_input(input).is_err() {
            self.rtc.disconnect();
        }
        true
    }

    /// Sends bytes once the channel takes them.
    pub(super) fn write(&mut self, bytes: Vec<u8>) {
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(bytes);
    }

    /// Sends text beside the bytes, unless the channel is not open or full.
    pub(super) fn write_text(&mut self, text: &str) -> bool {
        let [_, signaling] = self.ids;
        let channel = self.rtc.channel(signaling);
        channel.is_some_and(|mut it| matches!(it.write(false, text.as_bytes()), Ok(true)))
    }

    /// Does what is due; returns what happened, and adds what is to be sent.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<Datagram>) -> Vec<Happened> {
        let mut happened = Vec::new();
        if let Err(error) = self.advance(now, out, &mut happened) {
            happened.push(Happened::Closed(error.to_string()));
        } else if !self.rtc.is_alive() {
            happened.push(Happened::Closed("the other end has closed it".to_owned()));
        } else if self.waiting_bytes > MAX_WAITING {
            happened.push(Happened::Closed("it takes data too slowly".to_owned()));
        }
        happened
    }

    fn advance(
        &mut self,
        now: Instant,
        out: &mut Vec<Datagram>,
        happened: &mut Vec<Happened>,
    ) -> Result<(), RtcError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.flush()?;
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.wake = at;
                    return Ok(());
                }
                Output::Transmit(sent) => out.push((sent.destination, sent.contents.to_vec())),
                Output::Event(event) => {
                    self.event(event, happened);
                    self.flush()?;
                }
            }
        }
    }

    fn event(&mut self, event: Event, happened: &mut Vec<Happened>) {
        let closed = |why: &str| Happened::Closed(why.to_owned());
        match event {
            Event::ChannelOpen(id, _) => {
                let was_open = self.is_open();
                for (open, own) in self.open.iter_mut().zip(self.ids) {
                    *open |= own == id;
                }
                if self.is_open() && !was_open {
                    happened.push(Happened::Opened);
                    happened.extend(self.early.drain(..).map(Happened::Bytes));
                }
            }
            Event::ChannelData(data) if data.id == self.ids[0] => {
                if !data.binary {
                    happened.push(closed("it sent text where bytes belong"));
                } else if self.is_open() {
                    happened.push(Happened::Bytes(data.data));
                } else if self.early.len() < MAX_EARLY {
                    self.early.push(data.data);
                } else {
                    happened.push(closed("it sent much before it was ready"));
                }
            }
            Event::ChannelData(data) if data.id == self.ids[1] => {
                happened.extend(String::from_utf8(data.data).ok().map(Happened::Text));
            }
            Event::ChannelClose(_) => happened.push(closed("the other end has closed it")),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.is_open() => {
                happened.push(closed("its path is broken"));
            }
            _ => {}
        }
    }

    fn is_open(&self) -> bool {
        self.open == [true; 2]
    }

    fn flush(&mut self) -> Result<(), RtcError> {
        let [agreement, _] = self.ids;
        while let Some(bytes) = self.waiting.front() {
            let Some(mut channel) = self.rtc.channel(agreement) else {
                break;
            };
            if !channel.write(true, bytes)? {
                break;
            }
            self.waiting_bytes -= bytes.len();
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Ends it, and adds the goodbye to what is to be sent.
    pub(super) fn close(mut self, out: &mut Vec<Datagram>) {
        if self.rtc.close().is_err() {
            return;
        }
        while let Ok(output) = self.rtc.poll_output() {
            match output {
                Output::Timeout(_) => return,
                Output::Transmit(sent) => out.push((sent.destination, sent.contents.to_vec())),
                Output::Event(_) => {}
            }
        }
    }
}

fn accept(rtc: &mut Rtc, sdp: &str) -> Result<String, String> {
    let offer = SdpOffer::from_sdp_string(sdp).map_err(|error| error.to_string())?;
    let answer = rtc.sdp_api().accept_offer(offer);
    Ok(answer.map_err(|error| error.to_string())?.to_sdp_string())
}
