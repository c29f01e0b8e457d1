// A page that chats over a WebSocket.

import { assert, content, test, visitor } from "../browser/harness.mjs";

const { url } = JSON.parse(process.argv[2]);

test(async () => {
  const page = await visitor();
  await page.goto(url);
  await page.getByRole("status").getByText("open", { exact: true }).waitFor();
  const said = page.getByRole("list", { name: "Said" }).getByRole("listitem");
  for (const text of ["hello", "你好，世界", "", "x".repeat(70_000), "🦀"]) {
    const before = await said.count();
    await page.getByLabel("Message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
    await said.nth(before).waitFor({ state: "attached" });
    assert.equal(await said.nth(before).textContent(), text);
  }
  await page.evaluate("socket.send(new Uint8Array([0, 255, 128]))");
  await page.getByText("bytes 0,255,128").waitFor();
  // It is the page that leaves, politely.
  await page.evaluate('socket.close(4000, "再见")');
  await page.getByText("closed 4000 true").waitFor();

  // A page that is closed takes its socket along.
  await page.reload();
  await page.getByRole("status").getByText("open", { exact: true }).waitFor();
  content(page);
  await page.close();
});
