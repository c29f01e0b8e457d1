// The queue of uploads: by button, by dropping, by keys; paused, cancelled, and
// what is asked and said.

import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import {
  MIB, Server, assert, choose, content, eventually, folder, line, randomFile, row, sha256, test,
  visitor, write,
} from "./harness.mjs";

test(async () => {
  const share = folder();
  const own = folder();
  write(share, { "taken.txt": "old", "notes/a.txt": "a" });
  for (let at = 1; at <= 20; at += 1) write(share, { [`tide ${at}.txt`]: "high" });
  write(own, { "taken.txt": "new", "plain.txt": "plain", "by keys.txt": "keys" });
  const server = await Server.start(share, ["--allow", "write", "--max-upload", "32M"]);
  const page = await visitor({ away: true, expected: [412, 413] });
  await page.goto(server.url);

  // A file by the button; it appears in the list by itself.
  await choose(page, "Upload files", join(own, "plain.txt"));
  await row(page, "plain.txt").waitFor();
  assert.equal(readFileSync(server.path("plain.txt"), "utf8"), "plain");
  await line(page, "plain.txt").getByText(/^Done/).waitFor();

  // The name is taken: asked, and done as answered.
  const dialog = page.getByRole("dialog", { name: "Already there" });
  await choose(page, "Upload files", join(own, "taken.txt"));
  await dialog.getByRole("button", { name: "Skip" }).click();
  await line(page, "taken.txt").getByText(/^Skipped/).waitFor();
  assert.equal(readFileSync(server.path("taken.txt"), "utf8"), "old");
  await page.getByRole("button", { name: "Clear the list" }).click();
  await choose(page, "Upload files", join(own, "taken.txt"));
  // So is the next one: it is asked only once.
  write(server.share, { "taken (2).txt": "also old" });
  await dialog.getByRole("button", { name: "Keep both" }).click();
  await row(page, "taken (3).txt").waitFor();
  assert.equal(readFileSync(server.path("taken.txt"), "utf8"), "old");
  assert.equal(readFileSync(server.path("taken (2).txt"), "utf8"), "also old");
  assert.equal(readFileSync(server.path("taken (3).txt"), "utf8"), "new");
  await choose(page, "Upload files", join(own, "taken.txt"));
  await dialog.getByRole("button", { name: "Replace" }).click();
  await eventually("the new content", () => readFileSync(server.path("taken.txt"), "utf8") === "new");
  await line(page, "taken.txt").getByText(/^Done/).waitFor();
  // Each answer leads to one more request, the one for both to two.
  assert.equal(server.count("POST / 412"), 4);
  assert.equal(server.count("POST / 201"), 3);

  // Too large: said until dismissed, and nothing is there.
  randomFile(join(own, "large.bin"), 33 * MIB);
  await choose(page, "Upload files", join(own, "large.bin"));
  await line(page, "large.bin").getByText("Files of more than 32.0 MiB are not taken here").waitFor();
  await page.getByRole("button", { name: "Clear the list" }).click();
  assert.ok(await line(page, "large.bin").isVisible(), "what failed stays in the list");
  await page.getByRole("button", { name: "Cancel: large.bin" }).click();
  await line(page, "large.bin").waitFor({ state: "detached" });
  assert.ok(!existsSync(server.path("large.bin")));

  // Files and a folder are dropped.
  const transfer = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["dropped"], "dropped.txt", { type: "text/plain" }));
    transfer.items.add(new File(["船"], "船.txt"));
    return transfer;
  });
  await page.dispatchEvent("body", "dragenter", { dataTransfer: transfer });
  await page.getByText("Drop files and folders to upload them here").waitFor();
  await page.dispatchEvent("body", "dragover", { dataTransfer: transfer });
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
  await row(page, "船.txt").waitFor();
  await row(page, "dropped.txt").waitFor();
  assert.equal(readFileSync(server.path("船.txt"), "utf8"), "船");
  assert.ok(await page.getByText("Drop files and folders to upload them here").isHidden());

  // Paused, continued and cancelled, on a slow line.
  const slow = await page.context().newCDPSession(page);
  const line_speed = (bytes, offline = false) => slow.send("Network.emulateNetworkConditions", {
    offline, latency: 0, downloadThroughput: -1, uploadThroughput: bytes });
  await slow.send("Network.enable");
  await line_speed(4 * MIB);
  randomFile(join(own, "slow.bin"), 16 * MIB);
  randomFile(join(own, "never.bin"), 16 * MIB);
  await choose(page, "Upload files", join(own, "slow.bin"));
  await eventually("some of it", () => server.arrived() > MIB);
  await page.getByRole("button", { name: "Pause: slow.bin" }).click();
  await line(page, "slow.bin").getByText(/^Paused/).waitFor();
  await choose(page, "Upload files", join(own, "never.bin"));
  await line(page, "never.bin").getByText(/ of 16/).waitFor();
  await page.getByRole("button", { name: "Cancel: never.bin" }).click();
  await line(page, "never.bin").waitFor({ state: "detached" });
  await line_speed(-1);
  await page.getByRole("button", { name: "Go on: slow.bin" }).click();
  await line(page, "slow.bin").getByText(/^Done/).waitFor();
  assert.equal(await sha256(server.path("slow.bin")), await sha256(join(own, "slow.bin")));
  await eventually("no part is left", () => server.arrived() === 0);
  assert.ok(!existsSync(server.path("never.bin")));

  // The list of uploads covers no row for good.
  await page.getByRole("button", { name: "More for 船.txt" }).click();
  await page.getByRole("menuitem", { name: "Download" }).waitFor();
  await page.keyboard.press("Escape");

  // The network is gone for a while.
  await line_speed(4 * MIB);
  randomFile(join(own, "far away.bin"), 8 * MIB);
  await choose(page, "Upload files", join(own, "far away.bin"));
  await eventually("some of it", () => server.arrived() > MIB);
  await line_speed(-1, true);
  await page.locator("p.quiet", { hasText: "no network" }).first().waitFor();
  await line_speed(-1);
  await line(page, "far away.bin").getByText(/^Done/).waitFor();
  assert.equal(await sha256(server.path("far away.bin")), await sha256(join(own, "far away.bin")));

  // By keys alone: from the top of the page to the button, and Enter.
  await page.goto(server.url);
  const button = page.getByRole("button", { name: "Upload files" });
  await button.waitFor();
  for (let presses = 0; ; presses += 1) {
    assert.ok(presses < 20, "the button can't be reached by keys");
    await page.keyboard.press("Tab");
    if (await button.evaluate((element) => element === document.activeElement)) break;
  }
  const chooser = page.waitForEvent("filechooser");
  await page.keyboard.press("Enter");
  await (await chooser).setFiles(join(own, "by keys.txt"));
  await row(page, "by keys.txt").waitFor();
  content(page);
});
