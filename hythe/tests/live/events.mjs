// A page that hears events, is cut off after each four, and asks for the rest.

import { assert, content, test, visitor } from "../browser/harness.mjs";

const { url } = JSON.parse(process.argv[2]);

test(async () => {
  const page = await visitor();
  await page.goto(url);
  const heard = await page.evaluate(() => new Promise((resolve) => {
    const heard = [];
    const source = new EventSource("/events");
    const hear = ({ type, data, lastEventId }) => {
      heard.push([type, data, lastEventId]);
      if (heard.length < 10) return;
      source.close();
      resolve(heard);
    };
    source.onmessage = hear;
    source.addEventListener("even", hear);
  }));
  const expected = [...Array(10).keys()].map((index) => {
    const id = String(index + 1);
    return [index % 2 ? "even" : "message", `${id}\n第${id}条`, id];
  });
  assert.deepEqual(heard, expected);

  // A page that is closed is heard to have left.
  await page.evaluate(() => new Promise((resolve) => {
    globalThis.source = new EventSource("/events/silence?heartbeat=3600000");
    globalThis.source.onopen = resolve;
  }));
  content(page);
  await page.close();
});
