// The server is killed amid uploads and comes back: the page goes on by itself,
// or, after a reload, with the same file picked again, and nothing that was
// acknowledged is sent twice.

import { join } from "node:path";
import { readdirSync } from "node:fs";
import {
  MIB, Server, assert, choose, content, eventually, folder, line, randomFile, row, sha256, signIn,
  test, visitor, write,
} from "./harness.mjs";

const NAME = "harbour master";
const PASSWORD = "tide tables at noon";

test(async () => {
  const share = folder();
  const own = folder();
  const server = await Server.start(share, [
    "--accounts", join(own, "accounts.db"), "--register", "write"]);
  // A small file may have arrived though the answer was lost: then its name is taken.
  const page = await visitor({ away: true, expected: [412] });
  // What the page sends, by offset, to the upload it sends it to.
  const patches = [];
  page.on("request", (request) => {
    if (request.method() !== "PATCH") return;
    const offset = Number(request.headers()["upload-offset"]);
    patches.push({ address: new URL(request.url()).pathname, offset });
  });

  await signUp(page, server);
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, NAME, PASSWORD);

  /** Kills the server when this much of the largest upload has arrived; where it
   * is and how much of it is there. */
  async function killAt(size) {
    await eventually("much of the upload", () => server.arrived() > size);
    await server.kill();
    const { address } = patches.at(-1);
    return { address, there: server.arrived() };
  }

  /** What was sent to it since the server is back is what was not there. */
  async function check(name, size, { address, there }, sent) {
    assert.equal(await sha256(server.path(name)), await sha256(join(own, name)));
    const [first] = patches.slice(sent).filter((patch) => patch.address === address);
    assert.equal(first.offset, there, "it goes on where it was");
    assert.equal(server.patched(address), size - there);
  }

  // The tab stays open. A folder tree is on its way as well.
  const size = 200 * MIB;
  randomFile(join(own, "long voyage.bin"), size);
  const tree = {};
  for (let at = 0; at < 60; at += 1) tree[`cargo/hold ${at % 5}/crate ${at}.txt`] = `crate ${at}\n`;
  tree["cargo/船舱/货物.txt"] = "货物";
  write(own, tree);
  await choose(page, "Upload files", join(own, "long voyage.bin"));
  await choose(page, "Upload folder", join(own, "cargo"));
  const first = await killAt(60 * MIB);
  assert.ok(!readdirSync(share).includes("long voyage.bin"), "nothing partial has the name");
  await line(page, "long voyage.bin").getByText(/The server can't be reached/).waitFor();
  let sent = patches.length;
  await server.start();
  await page.getByRole("heading", { name: "Uploaded: 62 files" }).waitFor();
  await row(page, "long voyage.bin").waitFor();
  await check("long voyage.bin", size, first, sent);
  for (const path of Object.keys(tree)) {
    assert.equal(await sha256(server.path(path)), await sha256(join(own, path)), path);
  }

  // The tab is reloaded, and the same file picked again.
  page.on("dialog", (dialog) => dialog.accept());
  for (const way of ["Upload files", "Choose the file"]) {
    const name = `${way}.bin`;
    randomFile(join(own, name), 100 * MIB);
    await choose(page, "Upload files", join(own, name));
    const left = await killAt(30 * MIB);
    await server.start();
    await page.reload();
    await page.getByRole("heading", { name: "Unfinished uploads" }).waitFor();
    sent = patches.length;
    await choose(page, way, join(own, name));
    await line(page, name).getByText(/^Done/).waitFor();
    await check(name, 100 * MIB, left, sent);
  }
  // Of a small file that came with the request that began it, the page may not
  // have heard where it is; that expires.
  await eventually("no part of the large files is left", () => server.arrived() < MIB);
  content(page);
});

async function signUp(page, server) {
  await page.goto(server.url);
  await page.getByRole("link", { name: "Sign up" }).click();
  await page.getByLabel("User name").fill(NAME);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("The password again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the account" }).click();
  await page.getByRole("link", { name: NAME }).waitFor();
}
