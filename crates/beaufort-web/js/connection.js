// One WebRTC connection to one page: negotiated by the perfect-negotiation pattern, with two data channels in
// it: `agreement` for the replicas' bytes, `signaling` for what makes further connections. Both are negotiated
// beforehand, so that both ends have them from the start and neither waits for the other's announcement.
//
// Who is at the other end is not known here: the worker's handshake proves it over `agreement`, bound to
// `binding()`, before anything else is sent.

/** Waits for a channel to take more, from this many bytes that it has not sent yet. */
const HIGH_WATER = 1024 * 1024;
/** Goes on once it has no more than this many. */
const LOW_WATER = 256 * 1024;
/** A connection for which this much waits is too slow to be of use, and is closed. */
const MAX_WAITING = 16 * 1024 * 1024;
/** How many messages the other end may send before both channels are open: its part of the handshake. */
const MAX_EARLY = 8;
/** How long a broken path may take to be mended before the connection is given up. */
const MENDING = 15_000;

/** The certificate fingerprints in a session description, in an order that does not depend on the page. */
function fingerprints(sdp) {
  const lines = sdp.match(/^a=fingerprint:.*$/gm) ?? [];
  return Array.from(new Set(lines.map((line) => line.trim().toLowerCase())))
    .sort()
    .join();
}

export class Connection {
  /** The name of this attempt, the same at both ends. */
  session;
  /** Whether both channels are open. */
  isOpen = false;
  /** When it was made, in the page's milliseconds. */
  since = performance.now();

  #peer;
  #agreement;
  #signaling;
  #polite;
  #send;
  #events;
  #early = [];
  #waiting = [];
  #waitingBytes = 0;
  #offering = false;
  #ignoring = false;
  #tasks = Promise.resolve();
  #mending;
  #closed = false;

  /**
   * `polite`: gives way where both ends offer at once. `send(signal)` takes a signal to the other end.
   * `events`: `open()`, `bytes(buffer)`, `text(string)`, `closed(reason)`; nothing follows the last.
   */
  constructor({ session, polite, configuration, send, events }) {
    this.session = session;
    this.#polite = polite;
    this.#send = send;
    this.#events = events;
    this.#peer = new RTCPeerConnection(configuration);
    this.#peer.onicecandidate = ({ candidate }) => this.#candidate(candidate);
    this.#peer.onconnectionstatechange = () => this.#stateChanged();
  }

  /** Begins: makes the channels, which makes the first offer. */
  offer() {
    this.#watchNegotiation();
    this.#openChannels();
  }

  /** Takes a signal from the other end. They are worked on in the order in which they come. */
  signal(signal) {
    this.#inTurn(() => this.#take(signal));
  }

  /** What the handshake is bound to: the fingerprints of both ends' certificates. */
  binding() {
    const { localDescription: local, remoteDescription: remote } = this.#peer;
    return { local: fingerprints(local.sdp), remote: fingerprints(remote.sdp) };
  }

  /** Sends bytes when the channel takes them; a channel that takes too few is closed. */
  write(bytes) {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.byteLength;
    if (this.#waitingBytes > MAX_WAITING) return this.close("it takes data too slowly");
    this.#flush();
  }

  /** Sends text beside the bytes, unless so much of it waits that the other end cannot be alive. */
  writeText(text) {
    if (this.#signaling?.readyState !== "open") return false;
    if (this.#signaling.bufferedAmount > HIGH_WATER) return false;
    this.#signaling.send(text);
    return true;
  }

  close(reason) {
    if (this.#closed) return;
    this.#closed = true;
    this.isOpen = false;
    clearTimeout(this.#mending);
    this.#peer.close();
    this.#events.closed(reason);
  }

  #watchNegotiation() {
    this.#peer.onnegotiationneeded = async () => {
      try {
        this.#offering = true;
        await this.#peer.setLocalDescription();
        this.#describe();
      } catch (error) {
        this.close(`no offer can be made: ${error.message}`);
      } finally {
        this.#offering = false;
      }
    };
  }

  /** Does something once the negotiation's steps before it are done. */
  #inTurn(step) {
    this.#tasks = this.#tasks
      .then(() => (this.#closed ? undefined : step()))
      .catch((error) => this.close(`negotiation failed: ${error.message}`));
  }

  async #take(signal) {
    if (signal.type === "description") await this.#takeDescription(signal);
    else await this.#takeCandidate(signal);
  }

  async #takeDescription({ kind, sdp }) {
    // The handshake is bound to the first certificate: a later one would be somebody else's, put in between.
    const known = this.#peer.remoteDescription;
    if (known && fingerprints(known.sdp) !== fingerprints(sdp)) return;
    const collision = kind === "offer" && (this.#offering || this.#peer.signalingState !== "stable");
    this.#ignoring = collision && !this.#polite;
    if (this.#ignoring) return;
    await this.#peer.setRemoteDescription({ type: kind, sdp });
    if (kind !== "offer") return;
    // The answering end's channels come after the offer, which then has a place for them.
    this.#openChannels();
    await this.#peer.setLocalDescription();
    this.#describe();
    this.#watchNegotiation();
  }

  async #takeCandidate({ candidate, sdpMid, sdpMLineIndex, usernameFragment }) {
    try {
      await this.#peer.addIceCandidate({ candidate, sdpMid, sdpMLineIndex, usernameFragment });
    } catch (error) {
      // Candidates of an offer that was ignored have nothing to belong to.
      if (!this.#ignoring) throw error;
    }
  }

  #describe() {
    const { type: kind, sdp } = this.#peer.localDescription;
    this.#send({ type: "description", session: this.session, kind, sdp });
  }

  #candidate(candidate) {
    if (!candidate) return;
    const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    this.#send({
      type: "candidate",
      session: this.session,
      candidate: candidate.candidate,
      sdpMid,
      sdpMLineIndex,
      usernameFragment,
    });
  }

  #openChannels() {
    if (this.#agreement) return;
    this.#agreement = this.#peer.createDataChannel("agreement", { negotiated: true, id: 0 });
    this.#signaling = this.#peer.createDataChannel("signaling", { negotiated: true, id: 1 });
    this.#agreement.binaryType = "arraybuffer";
    this.#agreement.bufferedAmountLowThreshold = LOW_WATER;
    this.#agreement.onbufferedamountlow = () => this.#flush();
    this.#agreement.onmessage = ({ data }) => {
      if (this.#closed) return;
      if (!(data instanceof ArrayBuffer)) this.close("it sent text where bytes belong");
      else if (this.isOpen) this.#events.bytes(data);
      else if (this.#early.push(data) > MAX_EARLY) this.close("it sent much before it was ready");
    };
    this.#signaling.onmessage = ({ data }) => {
      if (!this.#closed) this.#events.text(data);
    };
    for (const channel of [this.#agreement, this.#signaling]) {
      // A busy page may hear of the open channel before it hears that its description was taken.
      channel.onopen = () => this.#inTurn(() => this.#channelOpened());
      channel.onclose = () => this.close("the other end has closed it");
    }
  }

  #channelOpened() {
    const both = [this.#agreement, this.#signaling].every(({ readyState }) => readyState === "open");
    if (!both || this.isOpen || this.#closed) return;
    this.isOpen = true;
    this.#events.open();
    for (const bytes of this.#early.splice(0)) this.#events.bytes(bytes);
    this.#flush();
  }

  #flush() {
    try {
      while (
        this.#waiting.length > 0 &&
        this.#agreement.readyState === "open" &&
        this.#agreement.bufferedAmount < HIGH_WATER
      ) {
        const bytes = this.#waiting.shift();
        this.#waitingBytes -= bytes.byteLength;
        this.#agreement.send(bytes);
      }
    } catch (error) {
      this.close(`data cannot be sent: ${error.message}`);
    }
  }

  #stateChanged() {
    const state = this.#peer.connectionState;
    if (state === "connected") {
      clearTimeout(this.#mending);
      this.#mending = undefined;
    } else if (state === "disconnected" || state === "failed") {
      this.#mend(state);
    }
  }

  /** Looks for another path; signals for that travel as they did at first. */
  #mend(state) {
    if (state === "failed") this.#peer.restartIce();
    this.#mending ??= setTimeout(() => this.close("its path is broken"), MENDING);
  }
}
