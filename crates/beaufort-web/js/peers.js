// Which pages this page is connected to. The replica says with which members it wants channels; this finds
// them, over signaling servers or over neighbours that they share, and keeps trying.
//
// A *link* is one connection, or one attempt at one. Who is at its other end is a claim until the worker's
// handshake has proven it. Nothing that comes over a route can harm a link that is proven: an offer only ever
// starts another link beside it, which takes its place once it is proven too.

import { Connection } from "./connection.js";
import { Rate, checkSignal, parse, randomName } from "./signals.js";
import { SignalingServer } from "./server.js";

/** How long a link may take until it is proven. */
const PATIENCE = 20_000;
/** How long a wanted member is looked for. */
const SEARCH = 10_000;
/** How long after a failed attempt the next one is made. */
const PAUSE = 1_000;
/** How many links others may have begun that are not proven yet. */
const MAX_STRANGERS = 64;
/** How long a member that was disconnected on purpose is not let in again. */
const REFUSAL = 10_000;
/** Signals that one neighbour may send at once, and a second: as at a signaling server. */
const SIGNAL_BURST = 400;
const SIGNAL_RATE = 20;
const MAX_TEXT = 16 * 1024;
/** Changes of neighbours within this time are told together. */
const NEWS = 100;

export class Peers {
  #self;
  #keys;
  #configuration;
  #events;
  #servers = [];
  #links = new Map();
  #sessions = new Map();
  /** The proven link of each member. */
  #proven = new Map();
  /** Members that are looked for, each with how many routes were tried and the timers. */
  #wanted = new Map();
  /** Until when members are not let in. */
  #refused = new Map();
  #nextNumber = 1;
  #news;
  #closed = false;

  /**
   * `keys`: the members' public keys in order, `self`: this page's place among them, `room`: the network.
   * `events`: `opened(number, session, binding)`, `bytes(number, buffer)`, `closed(number)`,
   * `unreachable(member)`.
   */
  constructor({ self, keys, room, signaling, configuration, events }) {
    this.#self = self;
    this.#keys = keys;
    this.#configuration = configuration;
    this.#events = events;
    this.#servers = signaling.map((url) => this.#enter(url, room));
  }

  /** The replica wants a channel with a member: it is looked for until one is proven, or for a while. */
  want(member) {
    if (this.#wanted.has(member) || this.#proven.has(member) || this.#closed) return;
    const search = { turn: 0 };
    search.end = setTimeout(() => {
      this.#forget(member);
      this.#events.unreachable(member);
    }, SEARCH);
    this.#wanted.set(member, search);
    this.#refused.delete(member);
    this.#pursue(member);
  }

  /** The replica wants none any more. */
  unwant(member) {
    this.#forget(member);
    this.#refused.set(member, performance.now() + REFUSAL);
    this.#proven.get(member)?.connection.close("the replica does not want it");
  }

  /** The handshake has proven who is at the other end. */
  prove(number, member) {
    const link = this.#links.get(number);
    if (!link) return;
    link.member = member;
    link.isProven = true;
    clearTimeout(link.timer);
    this.#proven.set(member, link);
    this.#forget(member);
    this.#tellNeighbours();
    if (link.early) this.#said(link, link.early);
  }

  /** Sends bytes over a link. */
  send(number, bytes) {
    this.#links.get(number)?.connection.write(bytes);
  }

  /** Ends a link. */
  drop(number, reason) {
    this.#links.get(number)?.connection.close(reason);
  }

  /** The signaling servers and whether they can be reached. */
  signaling() {
    return this.#servers.map(({ url, isOpen }) => ({ url, isOpen }));
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#news);
    Array.from(this.#wanted.keys()).forEach((member) => this.#forget(member));
    this.#servers.forEach((server) => server.close());
    this.#links.forEach(({ connection }) => connection.close("the page closes it"));
  }

  #enter(url, room) {
    const route = (id) => ({ name: `${url} ${id}`, send: (signal) => server.send(id, signal) });
    const server = new SignalingServer(url, room, this.#keys[this.#self], {
      present: (id, key) => this.#pursue(this.#keys.indexOf(key)),
      signal: (id, signal) =>
        this.#signalled(route(id), this.#keys.indexOf(server.peers.get(id)), signal),
    });
    server.routes = (member) =>
      Array.from(server.peers)
        .filter(([, key]) => key === this.#keys[member])
        .map(([id]) => route(id))
        // Who entered last is there most likely.
        .reverse();
    return server;
  }

  /** All ways to signal to a member: where servers see it, and neighbours that have it for a neighbour. */
  #routes(member) {
    const between = Array.from(this.#proven.values()).filter(({ neighbours }) => neighbours.has(member));
    return [
      ...this.#servers.flatMap((server) => server.routes(member)),
      ...between.map((link) => this.#through(link, member)),
    ];
  }

  /** The route to a member through a neighbour, or through another one that has it once that is gone. */
  #through(link, member) {
    const send = (signal) => {
      const alternative = () =>
        Array.from(this.#proven.values()).find(({ neighbours }) => neighbours.has(member));
      const middle = this.#proven.get(link.member) ?? alternative();
      const text = JSON.stringify({ type: "relay", to: member, signal });
      return middle?.connection.writeText(text) ?? false;
    };
    return { name: `member ${member}`, send };
  }

  #forget(member) {
    const search = this.#wanted.get(member);
    clearTimeout(search?.end);
    clearTimeout(search?.pause);
    this.#wanted.delete(member);
  }

  /** Soon tries to reach a member, if it is wanted: in a task of its own, so that many do not hold the page up. */
  #pursue(member, pause = 0) {
    const search = this.#wanted.get(member);
    if (!search) return;
    clearTimeout(search.pause);
    search.pause = setTimeout(() => this.#attempt(member, search), pause);
  }

  /** Tries the next route to a wanted member, unless an attempt is under way. */
  #attempt(member, search) {
    if (this.#underWay(member)) return;
    const routes = this.#routes(member);
    if (routes.length === 0) return;
    const route = routes[search.turn++ % routes.length];
    this.#link({ route, member, session: randomName(), begun: true }).connection.offer();
  }

  #underWay(member) {
    return Array.from(this.#links.values()).some((link) => link.begun && link.member === member);
  }

  #signalled(route, member, signal) {
    const link = this.#sessions.get(signal.session);
    if (link) {
      if (link.member === member) link.connection.signal(signal);
    } else if (signal.type === "description" && signal.kind === "offer" && this.#admits(route, member)) {
      this.#link({ route, member, session: signal.session, begun: false }).connection.signal(signal);
    }
  }

  /** Whether an offer is taken up. Where both ends have made one, the first member's counts. */
  #admits(route, member) {
    if (member < 0 || member >= this.#keys.length || member === this.#self || this.#closed) return false;
    if (performance.now() < (this.#refused.get(member) ?? 0)) return false;
    const open = Array.from(this.#links.values()).filter(({ isProven }) => !isProven);
    if (open.filter(({ begun }) => !begun).length >= MAX_STRANGERS) return false;
    const own = open.find((link) => link.begun && link.member === member && link.route === route.name);
    if (own && this.#self < member) return false;
    own?.connection.close("both ends began; the other one's offer counts");
    return true;
  }

  #link({ route, member, session, begun }) {
    const number = this.#nextNumber++;
    const link = { number, member, begun, route: route.name, isProven: false, neighbours: new Set() };
    link.rate = new Rate(SIGNAL_RATE, SIGNAL_BURST);
    link.connection = new Connection({
      session,
      polite: this.#self > member,
      configuration: this.#configuration,
      send: (signal) => route.send(signal) || this.#routes(member).some((other) => other.send(signal)),
      events: {
        open: () => this.#events.opened(number, session, link.connection.binding()),
        bytes: (buffer) => this.#events.bytes(number, buffer),
        text: (text) => this.#said(link, text),
        closed: () => this.#closedLink(link),
      },
    });
    link.timer = setTimeout(() => link.connection.close("it was not proven in time"), PATIENCE);
    this.#links.set(number, link);
    this.#sessions.set(session, link);
    return link;
  }

  #closedLink(link) {
    clearTimeout(link.timer);
    this.#links.delete(link.number);
    this.#sessions.delete(link.connection.session);
    if (this.#proven.get(link.member) === link) {
      this.#proven.delete(link.member);
      this.#tellNeighbours();
    }
    this.#events.closed(link.number);
    this.#pursue(link.member, PAUSE);
  }

  /** What a neighbour says beside the agreement: whom it reaches, and signals from there or for there. */
  #said(link, text) {
    if (typeof text !== "string" || text.length > MAX_TEXT || !link.rate.take()) return;
    // The other end may have finished the handshake first; what it says then is kept, the latest only.
    if (!link.isProven) return void (link.early = text);
    const message = parse(text);
    switch (message?.type) {
      case "neighbours": {
        if (!Array.isArray(message.members)) break;
        const isMember = (member) => Number.isInteger(member) && this.#keys[member] !== undefined;
        link.neighbours = new Set(message.members.filter(isMember));
        link.neighbours.forEach((member) => this.#pursue(member));
        break;
      }
      case "relay": {
        const signal = checkSignal(message.signal);
        const target = this.#proven.get(message.to);
        if (!signal || !target) break;
        target.connection.writeText(JSON.stringify({ type: "relayed", from: link.member, signal }));
        break;
      }
      case "relayed": {
        const signal = checkSignal(message.signal);
        if (!signal || !Number.isInteger(message.from)) break;
        this.#signalled(this.#through(link, message.from), message.from, signal);
        break;
      }
    }
  }

  #tellNeighbours() {
    this.#news ??= setTimeout(() => {
      this.#news = undefined;
      const text = JSON.stringify({ type: "neighbours", members: Array.from(this.#proven.keys()) });
      this.#proven.forEach(({ connection }) => connection.writeText(text));
    }, NEWS);
  }
}
