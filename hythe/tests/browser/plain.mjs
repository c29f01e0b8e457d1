// Without script: look around, download, sign up, in and out, and upload.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Server, assert, content, folder, row, signIn, test, visitor, write } from "./harness.mjs";

test(async () => {
  const share = folder();
  const own = folder();
  write(share, { "charts/north.txt": "north\n", "two.txt": "2", "three.txt": "3" });
  write(own, { "one.txt": "one", "船.txt": "船" });
  const server = await Server.start(share, ["--accounts", join(own, "accounts.db"), "--register", "upload"]);
  const page = await visitor({ javaScriptEnabled: false, acceptDownloads: true, expected: [403, 404] });
  await page.goto(server.url);
  await page.getByRole("link", { name: "charts" }).click();
  const reading = page.waitForResponse((reply) => reply.url().endsWith("north.txt"));
  await page.getByRole("link", { name: "north.txt" }).click();
  assert.equal(await (await reading).text(), "north\n");
  await page.goto(server.url);

  // Some of the list as a zip.
  await page.getByRole("checkbox", { name: "two.txt" }).check();
  await page.getByRole("checkbox", { name: "charts" }).check();
  const zip = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download selected as zip" }).click();
  assert.match((await zip).suggestedFilename(), /\.zip$/);

  // What is below is found as well.
  await page.getByRole("searchbox").fill("nort");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("link", { name: /north\.txt/ }).waitFor();
  await page.goto(server.url);

  await page.getByRole("link", { name: "Sign up" }).click();
  await page.getByLabel("User name").fill("mate");
  await page.getByLabel("Password", { exact: true }).fill("hook and line");
  await page.getByLabel("The password again").fill("hook and line");
  await page.getByRole("button", { name: "Make the account" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, "mate", "hook and line");

  await page.getByLabel("Upload files").setInputFiles([join(own, "one.txt"), join(own, "船.txt")]);
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await row(page, "one.txt").waitFor();
  await row(page, "船.txt").waitFor();
  assert.equal(readFileSync(join(share, "one.txt"), "utf8"), "one");
  assert.equal(readFileSync(join(share, "船.txt"), "utf8"), "船");
  assert.equal(page.url(), server.url);

  // What is there already stays, and that is said on a page.
  write(own, { "two.txt": "not two" });
  await page.getByLabel("Upload files").setInputFiles(join(own, "two.txt"));
  const answer = page.waitForResponse((reply) => reply.request().method() === "POST");
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  assert.equal((await answer).status(), 403);
  await page.getByText("two.txt: there is a file of this name").waitFor();
  assert.equal(readFileSync(join(share, "two.txt"), "utf8"), "2");
  await page.goto(server.url);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("link", { name: "Sign in" }).waitFor();
  content(page);
});
