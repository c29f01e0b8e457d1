// The page over HTTPS, with a certificate that nobody vouches for and the
// visitor has accepted.

import { assert, content, row, test, visitor } from "./harness.mjs";

const { url } = JSON.parse(process.argv[2]);

test(async () => {
  const page = await visitor({ ignoreHTTPSErrors: true });
  await page.goto(url);
  await row(page, "文 file.txt").waitFor();
  assert.equal(await page.evaluate(() => isSecureContext), true);
  const reading = page.waitForResponse((reply) => reply.url().endsWith("file.txt"));
  await page.getByRole("link", { name: "文 file.txt" }).click();
  assert.equal(await (await reading).text(), "found\n");
  content(page);
});
