// What the browser tests share: a server that can be killed and comes back at
// the same port, and a Chromium that must not complain.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync, createReadStream, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync,
  statSync, writeFileSync, writeSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const { hythe, tools } = JSON.parse(process.argv[2]);
const { chromium } = createRequire(`${tools}/node/`)("playwright-core");

export const MIB = 1 << 20;

/** How long anything may take on the slowest machine. */
const PATIENCE = 60_000;

const cleanups = [];

/** Runs a test to its end, and leaves nothing behind. */
export async function test(act) {
  try {
    await act();
  } catch (error) {
    console.error(error);
    for (const server of servers) console.error(`the server's log:\n${server.log()}`);
    process.exitCode = 1;
  }
  for (const cleanup of cleanups.reverse()) await cleanup();
}

/** A folder that is gone after the test. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), "hythe-browser-"));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Writes files, given as an object of paths and contents, below a folder. */
export function write(root, contents) {
  for (const [path, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
}

/** A file of random bytes. */
export function randomFile(path, size) {
  const file = openSync(path, "w");
  for (let at = 0; at < size; at += MIB) writeSync(file, randomBytes(Math.min(MIB, size - at)));
  closeSync(file);
}

export async function sha256(path) {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest("hex");
}

/** Waits until a condition holds, and gives what it gave. */
export async function eventually(what, condition) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const result = await condition();
    if (result) return result;
    assert.ok(Date.now() < until, `never came: ${what}`);
    await pause(2);
  }
}

/* --- The server ------------------------------------------------------------- */

const servers = [];

export class Server {
  #child;
  #log = "";
  port = 0;

  constructor(share, args = []) {
    this.share = share;
    this.args = args;
    servers.push(this);
  }

  static async start(share, args) {
    const server = new Server(share, args);
    await server.start();
    cleanups.push(() => server.kill());
    return server;
  }

  /** Starts it; again, at the port that it had before. */
  async start() {
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("HYTHE_")));
    const args = ["serve", this.share, "--http", String(this.port), "--ftp", "off", "--gopher", "off"];
    this.#child = spawn(hythe, [...args, ...this.args], { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#log = "";
    this.#child.stderr.on("data", (text) => { this.#log += text; });
    let said = "";
    this.#child.stdout.on("data", (text) => { said += text; });
    const [, port] = await eventually("the server's address", () => {
      assert.equal(this.#child.exitCode, null, this.#log);
      return said.match(/^http\s+http:\/\/127\.0\.0\.1:(\d+)\//m);
    });
    this.port = Number(port);
  }

  async #end(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill(signal);
    await ended;
  }

  kill() {
    return this.#end("SIGKILL");
  }

  stop() {
    return this.#end("SIGTERM");
  }

  log() {
    return this.#log;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  path(name) {
    return join(this.share, name);
  }

  /** How much of an unfinished upload has arrived, of the largest there is. */
  arrived() {
    const parts = join(this.share, ".hythe/uploads");
    if (!existsSync(parts)) return 0;
    const sizes = readdirSync(parts).filter((name) => /^[0-9a-f]{32}$/.test(name)).map((name) => {
      try { return statSync(join(parts, name)).size; } catch { return 0; }
    });
    return Math.max(0, ...sizes);
  }

  /** How often something is in the access log. */
  count(text) {
    return this.#log.split(text).length - 1;
  }

  /** The bytes of all PATCH requests to an upload that came whole since the start. */
  patched(address) {
    const lines = this.#log.split("\n").filter((line) => line.includes(` PATCH ${address} `));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }
}

/* --- The browser ------------------------------------------------------------ */

let browser;

async function launch() {
  if (browser) return browser;
  const path = process.env.PATH.split(":").map((one) => join(one, "chromium")).find(existsSync);
  assert.ok(path, "chromium is not installed; install it with: apt-get install chromium");
  browser = await chromium.launch({
    executablePath: path,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  cleanups.push(() => browser.close());
  return browser;
}

/**
 * A visitor: a page in a browser that knows nothing yet. Whatever the page
 * complains of fails the test, except for answers of a status named here and
 * connections that are refused while the server is away.
 */
export async function visitor({ expected = [], away = false, ...options } = {}) {
  const context = await (await launch()).newContext({ locale: "en-GB", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.complaints = [];
  // While somebody listens, no window opens; beginning to listen takes a moment.
  page.on("filechooser", () => {});
  const fine = (text) => {
    const refused = text.match(/the server responded with a status of (\d+)/);
    return refused ? expected.includes(Number(refused[1])) : away && /net::ERR_/.test(text);
  };
  context.on("console", (message) => {
    const text = message.text();
    if (["error", "warning"].includes(message.type()) && !fine(text)) page.complaints.push(text);
  });
  context.on("weberror", (error) => page.complaints.push(String(error.error())));
  return page;
}

/** What has been found wrong so far is told at the end of each test. */
export function content(...pages) {
  for (const page of pages) assert.deepEqual(page.complaints, []);
}

/** Chooses files, or a folder, by a button that opens the browser's window. */
export async function choose(page, button, paths) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: button, exact: true }).click();
  await (await chooser).setFiles(paths);
}

/** Signs in by the form, from a page that has the link to it or is it. */
export async function signIn(page, name, password) {
  if (!page.url().includes("/.hythe/sign-in")) {
    await page.getByRole("link", { name: "Sign in" }).click();
  }
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The line of a file in the queue. */
export const line = (page, name) =>
  page.getByRole("region", { name: /^Uploads$|^上传$/ }).getByRole("listitem")
    .filter({ has: page.getByText(name, { exact: true }) });

/** The row of a file or folder in the list. */
export const row = (page, name) =>
  page.getByRole("row").filter({ has: page.locator("bdi").getByText(name, { exact: true }) });

/** Opens the menu of a row and chooses from it. */
export async function menu(page, name, action) {
  await page.getByRole("button", { name: `More for ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

/** The names in the list, as they are shown. */
export const names = (page) => page.locator("#listing tbody:not(.parent) tr:visible bdi").allTextContents();

export { assert };
