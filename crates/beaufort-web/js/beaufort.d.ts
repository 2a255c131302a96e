/** A member's private key. It does not become JSON and does not show in logs. */
export class PrivateKey {
  /** A key from its 32 bytes. */
  constructor(bytes: Uint8Array);
  /** A new key. */
  static generate(): Promise<PrivateKey>;
  /** A key from the 64 hexadecimal characters of a key file. */
  static fromHex(text: string): PrivateKey;
  /** The key that was saved in this browser under a name. */
  static load(name: string): Promise<PrivateKey | null>;
  /** Removes the key that was saved under a name. */
  static forget(name: string): Promise<void>;
  /** The public key that belongs to it, in hexadecimal: what the other members list. */
  publicKey(): Promise<string>;
  /** Stores the key in this browser, encrypted under a key that scripts cannot read. */
  save(name: string): Promise<void>;
  /** The key itself, in hexadecimal: for a backup, and for nothing else. */
  exposeHex(): string;
  /** The key's bytes. */
  exposeBytes(): Uint8Array;
}

export interface Settings {
  /** All members' public keys in hexadecimal, in any order: every member lists the same. */
  members: string[];
  /** The key of the member that this page is. */
  privateKey: PrivateKey;
  /** Signaling servers (`wss://..`), through which members find each other. */
  signaling?: string[];
  /**
   * The URL of a module that exports `allows: AccessControl`, in which the application's rules are. The worker
   * imports it; every member needs the same rules. Or `"owner-signed"`: a value names its owner, who alone may change
   * it and pass it on (`signOwned`). Without it, every value is allowed.
   */
  accessControl?: "owner-signed" | string | URL;
  /** STUN and TURN servers, for members behind routers. Without any, members must reach each other directly. */
  iceServers?: RTCIceServer[];
  /** Where the worker's script is, for bundlers that put it elsewhere. */
  worker?: string | URL;
}

/**
 * Whether a value may take another's place; `null` stands for a key that is absent or deleted. Asked before this
 * member votes. It must answer at once, and the same at every member.
 */
export type AccessControl = (key: string, old: Uint8Array | null, value: Uint8Array | null) => boolean;

/** The proof that a value was decided: enough members' signatures over it, as one. */
export interface Certificate {
  /** Which of the key's values this is, from 1. */
  view: number;
  /** In which round of voting it was decided, from 0. */
  round: number;
  /** The value's BLAKE3 digest, in hexadecimal. */
  digest: string;
  /** Places of the members who signed. */
  signers: number[];
  /** All of it, as `verifyCertificate` and `beaufort` elsewhere take it. */
  bytes: Uint8Array;
}

/** A decided value. */
export class Entry {
  key: string;
  view: number;
  /** `null` where the key was deleted. */
  value: Uint8Array | null;
  certificate: Certificate;
  /** The value as text. */
  text(): string | null;
  /** The value from JSON. */
  json(): any;
}

/** What became of a proposal. */
export interface Decision {
  /** Whether it was decided, rather than a value proposed at the same time. */
  won: boolean;
  /** What was decided. */
  entry: Entry;
}

export interface Member {
  /** Place in the sorted list of members. */
  id: number;
  /** Public key. */
  key: string;
  isSelf: boolean;
  /** Whether this page has a channel to it. */
  isConnected: boolean;
  /** Why this page no longer talks to it, or `null`. The votes of who voted twice do not count, either. */
  exclusion: string | null;
}

export interface Status {
  /** This member's place. */
  self: number;
  /** What stands for the network. */
  network: string;
  /** Members to which this page has a channel. */
  neighbours: number[];
  /** How many keys are being decided. */
  pending: number;
  /** Members that this page no longer talks to, and why. The votes of those who voted twice do not count, either. */
  excluded: { member: number; reason: string }[];
  /** Whether some member is believed only what it answers for, since it passed on a false signature not long ago. */
  isCautious: boolean;
  /** The hash over all keys and their state: members with the same know the same. */
  root: string;
  /** The signaling servers, and whether they can be reached. */
  signaling: { url: string; isOpen: boolean }[];
}

/** What is signed for a key of a network with `accessControl: "owner-signed"`. */
export interface Ownership {
  /** The key of who owns what is there now; for a new key, of its first owner. */
  privateKey: PrivateKey;
  key: string;
  /** The value that is there now. */
  old?: Uint8Array | null;
  /** Whose it is from then on: a public key in hexadecimal. */
  owner: string;
  /** Bytes as they are, anything else as JSON. */
  content: unknown;
}

/** An owner-signed value, as bytes to set. */
export function signOwned(ownership: Ownership): Promise<Uint8Array>;

/** What an owner-signed value says, or `null` where it is none. */
export function decodeOwned(value: Uint8Array): Promise<{ owner: string; content: Uint8Array } | null>;

/** Proof that a member voted twice. */
export interface Evidence {
  culprit: number;
  key: Uint8Array;
  view: number;
  votes: { round: number; phase: "pre-commit" | "commit"; digest: string; signers: number[] }[];
  /** All of it, with the signatures. */
  bytes: Uint8Array;
}

/** A member's replica in this page. */
export class Beaufort {
  constructor(settings: Settings);
  /** Resolves once the stored state is loaded; rejects where it cannot be. */
  ready: Promise<void>;
  /** The last decided entry of a key, or `null` where there never was one. */
  get(key: string): Promise<Entry | null>;
  /** Proposes a value, bytes as they are and anything else as JSON; resolves once the network has decided. */
  set(key: string, value: unknown): Promise<Decision>;
  /** Proposes to delete a key; resolves once the network has decided. */
  delete(key: string): Promise<Decision>;
  /** All keys that ever had a value. */
  keys(): Promise<string[]>;
  /** Calls back with each new entry of a key, or of all keys that begin with a prefix; the result ends it. */
  listen(key: string | { prefix: string }, callback: (entry: Entry) => void): () => void;
  /** The members, in their order. */
  members(): Promise<Member[]>;
  /** How the replica and its connections are. */
  status(): Promise<Status>;
  /** Proof of who contradicted itself. */
  evidence(): Promise<Evidence[]>;
  /** Ends all connections; what was decided is kept. Calls that wait are rejected. */
  close(): Promise<void>;
}

/**
 * Checks that the network of these members decided this value (`null`: a deletion) for a key. Throws where the
 * certificate does not show it.
 */
export function verifyCertificate(
  members: string[],
  key: string,
  value: Uint8Array | null,
  certificate: Uint8Array,
): Promise<{ view: number; round: number; digest: string; signers: number[] }>;
