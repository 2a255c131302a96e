// What a replica keeps, in IndexedDB: a record for each key, written before anything that depends on it is sent.

const RECORDS = "records";

/** The result of a request or transaction of IndexedDB. */
function done(request, event) {
  return new Promise((resolve, reject) => {
    request[`on${event}`] = () => resolve(request.result);
    request.onerror = request.onabort = () => reject(request.error ?? new Error("the database refused"));
  });
}

export class Storage {
  #database;

  constructor(database) {
    this.#database = database;
  }

  /** Opens the store of this name, which is made where there is none. */
  static async open(name) {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(RECORDS);
    return new Storage(await done(request, "success"));
  }

  /** All records, each as `[key, record]`, both bytes. */
  async all() {
    const store = this.#database.transaction(RECORDS).objectStore(RECORDS);
    const [keys, records] = await Promise.all([
      done(store.getAllKeys(), "success"),
      done(store.getAll(), "success"),
    ]);
    return keys.map((key, index) => [new Uint8Array(key), records[index]]);
  }

  /** Keeps records, `{key, record}`, all of them or none; they are on the disk when this resolves. */
  async put(records) {
    const transaction = this.#database.transaction(RECORDS, "readwrite", { durability: "strict" });
    const store = transaction.objectStore(RECORDS);
    for (const { key, record } of records) store.put(record, key);
    await done(transaction, "complete");
  }

  close() {
    this.#database.close();
  }
}
