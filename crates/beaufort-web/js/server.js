// One signaling server: enters a room there, says who else is in it, passes signals on, and enters again
// whenever the connection is lost.

import { Backoff, checkSignal, parse } from "./signals.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
/** A server that has not been heard for this long is gone: three of its beats. */
const SILENCE = 60_000;
/** How many peers of one room are remembered. */
const MAX_PEERS = 1024;

export class SignalingServer {
  /** The server's address. */
  url;
  /** Whether it has welcomed this page to the room. */
  isOpen = false;
  /** Who is in the room: a server's id of a peer to the public key that the peer claims. */
  peers = new Map();

  #join;
  #events;
  #socket = null;
  #backoff = new Backoff(FIRST_WAIT, LONGEST_WAIT);
  #retry;
  #watch;
  #closed = false;

  /** `events.present(id, key)`: a peer is in the room. `events.signal(id, signal)`: a signal from one. */
  constructor(url, room, key, events) {
    this.url = url;
    this.#join = JSON.stringify({ type: "join", room, key });
    this.#events = events;
    this.#connect();
  }

  /** Passes a signal to a peer. Returns whether the server could be told. */
  send(to, signal) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify({ type: "signal", to, signal }));
    return true;
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#lost();
  }

  #connect() {
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onopen = () => socket.send(this.#join);
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#heard(parse(data));
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#lost();
    };
    this.#expect();
  }

  /** Gives the server up unless it says something in time. */
  #expect() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(), SILENCE);
  }

  #lost() {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.peers.clear();
    this.isOpen = false;
    if (this.#closed) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.wait());
  }

  #heard(message) {
    this.#expect();
    switch (message?.type) {
      case "welcome":
        this.isOpen = true;
        this.#backoff.reset();
        if (Array.isArray(message.peers)) message.peers.forEach((peer) => this.#present(peer));
        break;
      case "joined":
        this.#present(message.peer);
        break;
      case "left":
        this.peers.delete(message.id);
        break;
      case "signal": {
        const signal = checkSignal(message.signal);
        if (signal && this.peers.has(message.from)) this.#events.signal(message.from, signal);
        break;
      }
      case "beat":
        this.#socket.send('{"type":"beat"}');
        break;
      case "refused":
        console.warn(`${this.url} refused the connection: ${message.reason}`);
        break;
    }
  }

  #present(peer) {
    if (typeof peer?.id !== "string" || typeof peer.key !== "string") return;
    if (this.peers.size >= MAX_PEERS && !this.peers.has(peer.id)) return;
    this.peers.set(peer.id, peer.key);
    this.#events.present(peer.id, peer.key);
  }
}
