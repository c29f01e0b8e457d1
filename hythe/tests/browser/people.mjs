// Accounts: an administrator and a user, what roles and quotas do on the page,
// passwords, links for people without an account, and the page in Chinese.

import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  MIB, Server, assert, choose, content, folder, line, menu, randomFile, row, signIn, test, visitor,
  write,
} from "./harness.mjs";

test(async () => {
  const share = folder();
  const own = folder();
  write(share, { "notice.txt": "to all hands\n", "charts/north.txt": "north\n" });
  writeFileSync(join(own, "secret"), "keel to truck\n");
  const server = await Server.start(share, ["--allow", "read", "--accounts", join(own, "accounts.db"),
    "--user", `admiral:@${join(own, "secret")}:admin`]);

  // Nobody gets in with a wrong password, and is told so.
  const admiral = await visitor({ expected: [401, 403] });
  await admiral.goto(server.url);
  assert.ok(await admiral.getByRole("button", { name: "Upload files" }).isHidden());
  await signIn(admiral, "admiral", "wrong");
  await admiral.getByRole("alert").getByText(/wrong/i).waitFor();
  await signIn(admiral, "admiral", "keel to truck");
  await admiral.getByRole("button", { name: "Upload files" }).waitFor();

  // The administrator makes an account with a home and a quota.
  await admiral.getByRole("link", { name: "People" }).click();
  const adding = admiral.getByRole("region", { name: "Add an account" });
  await adding.getByLabel("User name").fill("stoker");
  await adding.getByLabel("Password").fill("coal and clinker");
  await adding.getByLabel("Role").selectOption("upload");
  await adding.getByLabel("Home folder").fill("/stokers");
  await adding.getByLabel(/^Quota/).fill("2M");
  await adding.getByRole("button", { name: "Add the account" }).click();
  await admiral.getByRole("heading", { name: "stoker" }).waitFor();

  // Who has it sees the home alone, and may upload there until it is full.
  const stoker = await visitor({ expected: [401, 403, 404, 507] });
  await stoker.goto(server.url);
  await signIn(stoker, "stoker", "coal and clinker");
  await stoker.getByRole("button", { name: "Upload files" }).waitFor();
  assert.equal(await row(stoker, "notice.txt").count(), 0);
  write(own, { "coal.txt": "coal" });
  randomFile(join(own, "too much.bin"), 3 * MIB);
  await choose(stoker, "Upload files", [join(own, "coal.txt"), join(own, "too much.bin")]);
  await row(stoker, "coal.txt").waitFor();
  await line(stoker, "too much.bin").getByText(/quota|room/i).waitFor();
  await stoker.getByRole("button", { name: "Retry: too much.bin" }).click();
  await line(stoker, "too much.bin").getByText(/quota|room/i).waitFor();
  assert.deepEqual(readdirSync(join(share, "stokers")), ["coal.txt"]);

  // A link for one download, with a password, for somebody without an account.
  await menu(stoker, "coal.txt", "Share link…");
  const dialog = stoker.getByRole("dialog", { name: "Share link" });
  await dialog.getByLabel("Password").fill("black");
  await dialog.getByLabel("Number of downloads").fill("1");
  await dialog.getByRole("button", { name: "Make the link" }).click();
  const link = await dialog.getByRole("textbox", { name: "Share link" }).inputValue();
  await dialog.getByRole("button", { name: "Close" }).click();
  const guest = await visitor({ expected: [401, 403, 404, 410] });
  await guest.goto(link);
  await guest.getByLabel("Password").fill("white");
  await guest.getByRole("button", { name: "Open" }).click();
  await guest.getByRole("alert").getByText(/wrong/i).waitFor();
  await guest.getByLabel("Password").fill("black");
  await guest.getByRole("button", { name: "Open" }).click();
  const got = guest.waitForEvent("download");
  await guest.getByRole("link", { name: "Download" }).click();
  assert.equal(readFileSync(await (await got).path(), "utf8"), "coal");
  const again = await guest.goto(link);
  assert.ok([404, 410].includes(again.status()), "one download was allowed");

  // A new password ends other sessions and is needed from then on.
  await stoker.getByRole("link", { name: "stoker" }).click();
  await stoker.getByLabel("The current password").fill("coal and clinker");
  await stoker.getByLabel("The new password", { exact: true }).fill("steam at six bar");
  await stoker.getByLabel("The new password again").fill("steam at six bar");
  await stoker.getByRole("button", { name: "Change the password" }).click();
  await stoker.getByText("The password is changed.").waitFor();

  // Less may be done from the next request on.
  const card = admiral.getByRole("listitem").filter({
    has: admiral.getByRole("heading", { name: "stoker" }) });
  await admiral.getByText("Change stoker").click();
  await card.getByLabel("Role").selectOption("read");
  await card.getByRole("button", { name: "Set" }).first().click();
  await stoker.goto(server.url);
  await row(stoker, "coal.txt").waitFor();
  assert.ok(await stoker.getByRole("button", { name: "Upload files" }).isHidden());

  // Removed after a question; the files stay, the session ends.
  await admiral.getByText("Change stoker").click();
  await card.getByRole("button", { name: "Remove" }).click();
  await admiral.getByRole("button", { name: "Remove the account" }).click();
  await admiral.getByRole("heading", { name: "People" }).waitFor();
  assert.equal(await card.count(), 0);
  assert.equal(readFileSync(join(share, "stokers/coal.txt"), "utf8"), "coal");
  await stoker.goto(server.url);
  await stoker.getByRole("link", { name: "Sign in" }).waitFor();

  // All of it in Chinese for whoever prefers that.
  const reader = await visitor({ locale: "zh-CN" });
  await reader.goto(server.url);
  await reader.getByRole("link", { name: "登录" }).click();
  await reader.getByLabel("用户名").fill("admiral");
  await reader.getByLabel("密码").fill("keel to truck");
  await reader.getByRole("button", { name: "登录" }).click();
  write(own, { "煤.txt": "煤" });
  await choose(reader, "上传文件", join(own, "煤.txt"));
  await row(reader, "煤.txt").waitFor();
  await line(reader, "煤.txt").getByText(/完成/).waitFor();
  assert.ok(existsSync(join(share, "煤.txt")));
  assert.equal(await reader.evaluate(() => document.documentElement.lang), "zh-Hans");
  content(admiral, stoker, guest, reader);
});
