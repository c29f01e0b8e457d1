// The guestbook, an example of ours, as visitors and its admin use it: with and
// without script, by mouse and keyboard, on a desktop and a phone.

import { assert, content, test, visitor } from "./harness.mjs";

const { url } = JSON.parse(process.argv[2]);

const entry = (page, text) => page.getByRole("article").filter({ hasText: text });

async function write(page, name, text) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Sign the guestbook" }).click();
}

test(async () => {
  const ming = await visitor({ expected: [422] });
  ming.on("dialog", (dialog) => { throw new Error(`a dialog: ${dialog.message()}`); });
  await ming.goto(url);
  await ming.getByText("Nobody has written yet.").waitFor();
  await write(ming, "王小明", "第一次来,\n风景真美!🛶");
  assert.match(ming.url(), /\/#entry-1$/);
  const text = entry(ming, "第一次来").locator(".text");
  assert.equal(await text.innerText(), "第一次来,\n风景真美!🛶");
  await entry(ming, "第一次来").getByRole("heading", { name: "王小明" }).waitFor();
  // Once more, the page is only shown and nothing is sent.
  await ming.reload();
  assert.equal(await ming.getByRole("article").count(), 1);

  const attempt = "</p></textarea><script>alert(1)</script><img src=x onerror=alert(2)>";
  await write(ming, "<b onclick=alert(3)>Eve</b>", attempt);
  await ming.getByRole("heading", { name: "<b onclick=alert(3)>Eve</b>" }).click();
  assert.equal(await entry(ming, "alert(1)").locator(".text").innerText(), attempt);
  assert.equal(await ming.locator("article script, article img, article b").count(), 0);

  // What is wrong is said at the field, which has the focus; what was typed stays.
  await write(ming, "", "kept while the name is missing");
  const name = ming.getByLabel("Name");
  assert.equal(await name.evaluate((field) => field === document.activeElement), true);
  assert.equal(await name.getAttribute("aria-invalid"), "true");
  const told = await name.getAttribute("aria-describedby");
  assert.equal(await ming.locator(`#${told}`).innerText(), "Please write your name.");
  assert.equal(await ming.getByLabel("Message").inputValue(), "kept while the name is missing");

  // By keyboard alone, from the top of the page: past the links into the form.
  await ming.goto(url);
  await ming.keyboard.press("Tab");
  await ming.getByRole("link", { name: "Skip to the content" }).and(ming.locator(":focus")).waitFor();
  await ming.keyboard.press("Enter");
  await ming.keyboard.press("Tab");
  await ming.keyboard.type("Anna");
  await ming.keyboard.press("Tab");
  await ming.keyboard.type("by keyboard");
  await ming.keyboard.press("Tab");
  await ming.keyboard.press("Enter");
  await entry(ming, "by keyboard").waitFor();
  content(ming);

  // A phone without script.
  const phone = await visitor({ javaScriptEnabled: false, viewport: { width: 360, height: 740 } });
  await phone.goto(url);
  for (let number = 1; number <= 20; number++) await write(phone, "Bo", `number ${number}`);
  await write(phone, "W".repeat(40), "w".repeat(1000));
  await phone.getByRole("link", { name: "Older" }).click();
  await entry(phone, "第一次来").waitFor();
  await phone.getByRole("link", { name: "Newer" }).click();
  await entry(phone, "number 20").waitFor();
  content(phone);

  // Nothing is wider than a phone, long words neither; what is to be hit is large.
  const narrow = await visitor({ viewport: { width: 360, height: 740 }, expected: [404] });
  for (const path of ["", "sign-in", "nowhere"]) {
    await narrow.goto(url + path);
    assert.equal(await narrow.evaluate(() => document.documentElement.scrollWidth), 360, path);
    for (const button of await narrow.getByRole("button").all()) {
      assert.ok((await button.boundingBox()).height >= 44, path);
    }
  }
  content(narrow);

  const anna = await visitor({ expected: [403] });
  await anna.goto(`${url}admin`);
  await anna.getByLabel("User name").fill("anna");
  await anna.getByLabel("Password").fill("wrong");
  await anna.getByRole("button", { name: "Sign in" }).click();
  await anna.getByRole("alert").getByText("The name or the password is wrong.").waitFor();
  await anna.getByLabel("Password").fill("anna's password");
  await anna.getByRole("button", { name: "Sign in" }).click();
  await anna.getByRole("heading", { name: "Put in order" }).waitFor();
  await anna.getByRole("button", { name: "Hide entry 22" }).click();
  await entry(anna, "number 19").getByText("Hidden").waitFor();
  await ming.goto(url);
  await entry(ming, "number 20").waitFor();
  assert.equal(await entry(ming, "number 19").count(), 0);
  await anna.getByRole("button", { name: "Show entry 22" }).click();
  await anna.getByRole("link", { name: "Delete… entry 22" }).click();
  await anna.getByRole("button", { name: "Delete it" }).click();
  await entry(anna, "number 20").waitFor();
  assert.equal(await entry(anna, "number 19").count(), 0);
  await anna.getByRole("button", { name: "Sign out" }).click();
  await anna.getByRole("link", { name: "Sign in" }).waitFor();
  await anna.goto(`${url}admin`);
  await anna.getByRole("heading", { name: "Sign in" }).waitFor();
  content(anna, ming);
});
