// The clock, at the width of a desk and of a phone.

import { join } from "node:path";
import { assert, content, eventually, test, visitor } from "../browser/harness.mjs";

const { url, shots } = JSON.parse(process.argv[2]);

test(async () => {
  for (const [name, width, height] of [["desk", 1280, 800], ["phone", 360, 740]]) {
    const page = await visitor({ viewport: { width, height } });
    await page.goto(url);
    const time = page.locator("#time");
    const first = await eventually("a time", async () => {
      const text = await time.textContent();
      return /^\d\d:\d\d:\d\d$/.test(text) && text;
    });
    await eventually("another second", async () => (await time.textContent()) !== first);
    assert.match(await page.locator("#date").textContent(), /^\w+day, \d+ \w+ \d{4}$/);
    assert.ok(await page.getByRole("status").textContent());
    // All of it is seen, and nothing beside it.
    const wide = await page.evaluate("document.documentElement.scrollWidth");
    assert.ok(wide <= width, `${wide} pixels in ${width}`);
    if (shots) await page.screenshot({ path: join(shots, `${name}.png`) });
    content(page);
    await page.close();
  }
});
