// A replica as a program, in one network with pages.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test as run } from "node:test";
import { DEADLINE, World, each, holds, set } from "./world.js";

/** The pages; the last member is the program. All but one of the four are needed to decide. */
const PAGES = [0, 1];
const NATIVE = 2;
const MEMBERS = 4;

const test = (name, body) => run(name, { timeout: DEADLINE }, body);

let world, directory;

/** Starts the program as the member `NATIVE`. `line(text)` waits for a line of its output, `ended` for its code. */
function replica(...more) {
  const file = (name) => join(directory, name);
  const given = ["--members", file("members"), "--key-file", file("key"), "--data", file("data")];
  const args = ["replica", ...given, "--signaling", world.signaling.url, ...more];
  const process_ = spawn(process.env.BEAUFORT, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => process_.once("exit", resolve));
  let output = "";
  const line = (text) =>
    new Promise((resolve, reject) => {
      const look = () => output.split("\n").includes(text) && resolve();
      process_.stdout.on("data", look);
      ended.then(() => reject(new Error(`the program ended without "${text}": ${output}`)));
      look();
    });
  process_.stdout.on("data", (data) => (output += data));
  return { line, ended, stop: () => process_.kill("SIGINT") };
}

before(async () => {
  world = await World.start(MEMBERS);
  directory = await mkdtemp(join(tmpdir(), "beaufort-native-"));
  await writeFile(join(directory, "members"), world.keys.map((key) => `${key.public}\n`).join(""));
  await writeFile(join(directory, "key"), `${world.keys[NATIVE].secret}\n`);
  await each(PAGES, (id) => world.join(id));
});

after(async () => {
  await world?.close();
  if (directory) await rm(directory, { recursive: true });
});

test("two pages of four members decide nothing until a program takes part", async () => {
  const program = replica();
  const { won } = await set(world.pages[0], "from-a-page", "hello");
  assert.equal(won, true);
  await program.line('view 1: from-a-page = "hello"');
  program.stop();
  assert.equal(await program.ended, 0);
});

test("what a program sets is final in the pages, and it goes on from what it stored", async () => {
  const program = replica("--set", 'from-a-program="hi"');
  assert.equal(await program.ended, 0);
  await each(PAGES, (id) => holds(world.pages[id], "from-a-program", "hi"));
});
