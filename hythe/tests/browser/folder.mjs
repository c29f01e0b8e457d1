// What people do with files in a folder: make, rename, move, delete, take along,
// find, look at.

import { existsSync, readFileSync, utimesSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import {
  Server, assert, content, eventually, folder, menu, names, row, test, visitor, write,
} from "./harness.mjs";

// The smallest picture and the smallest document.
const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
const PDF = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
  + "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\ntrailer<</Root 1 0 R>>\n";
const MARKDOWN = "# The harbour\n\nRopes and **anchors**, a [chart](chart.txt).\n\n- one\n- two\n\n"
  + "<script>document.title = 'owned'</script>\n\n[click](javascript:document.title='owned')\n";

test(async () => {
  const share = folder();
  write(share, {
    "chart.txt": "depths and shoals\n", "quay.png": PNG, "rules.pdf": PDF, "README.md": MARKDOWN,
    "old name.txt": "old", "bollard <b>.txt": "iron", "below/deep/lantern.txt": "light",
    "unneeded.txt": "rust", "store/keep.txt": "kept",
  });
  const server = await Server.start(share, ["--allow", "write"]);
  const page = await visitor({ acceptDownloads: true, expected: [405, 412] });
  const dialog = (name) => page.getByRole("dialog", { name });
  await page.goto(server.url);

  // A new folder; once more, and it is said that there is one, where another name
  // can be typed.
  for (const round of [1, 2]) {
    await page.getByRole("button", { name: "New folder" }).click();
    await dialog("New folder").getByLabel("Name").fill("仓库 №1");
    await dialog("New folder").getByRole("button", { name: "Make" }).click();
    if (round === 1) await row(page, "仓库 №1").waitFor();
  }
  await dialog("New folder").getByRole("alert")
    .filter({ hasText: "There is already something called 仓库 №1." }).waitFor();
  assert.equal(await dialog("New folder").getByLabel("Name").inputValue(), "仓库 №1");
  await dialog("New folder").getByRole("button", { name: "Cancel" }).click();

  // Renamed from its menu, to a name that looks like markup.
  await menu(page, "old name.txt", "Rename…");
  await dialog("Rename").getByLabel("New name").fill("new <i>name & 100%.txt");
  await dialog("Rename").getByRole("button", { name: "Rename" }).click();
  await row(page, "new <i>name & 100%.txt").waitFor();
  assert.equal(readFileSync(join(share, "new <i>name & 100%.txt"), "utf8"), "old");

  // Two are moved into the new folder, by keys alone.
  for (const name of ["bollard <b>.txt", "new <i>name & 100%.txt"]) {
    await page.getByRole("checkbox", { name, exact: true }).focus();
    await page.keyboard.press("Space");
  }
  await page.getByText("2 selected").waitFor();
  await page.getByRole("button", { name: "Move…" }).focus();
  await page.keyboard.press("Enter");
  await dialog(/^Move 2 items/).getByRole("button", { name: "仓库 №1" }).press("Enter");
  await dialog(/^Move 2 items/).getByRole("button", { name: "Parent folder" }).waitFor();
  await dialog(/^Move 2 items/).getByRole("button", { name: "Move here" }).press("Enter");
  await row(page, "bollard <b>.txt").waitFor({ state: "detached" });
  assert.equal(readFileSync(join(share, "仓库 №1/bollard <b>.txt"), "utf8"), "iron");
  assert.equal(readFileSync(join(share, "仓库 №1/new <i>name & 100%.txt"), "utf8"), "old");

  // Deleting asks first: no, then yes; a folder with all that is in it.
  await menu(page, "unneeded.txt", "Delete…");
  await dialog("Delete 1 item?").getByRole("button", { name: "Cancel" }).click();
  assert.ok(existsSync(join(share, "unneeded.txt")));
  await page.getByRole("checkbox", { name: "unneeded.txt" }).check();
  await page.getByRole("checkbox", { name: "store" }).check();
  await page.getByRole("button", { name: "Delete…" }).click();
  await dialog("Delete 2 items?").getByText("store/").waitFor();
  await dialog("Delete 2 items?").getByRole("button", { name: "Delete" }).click();
  await row(page, "unneeded.txt").waitFor({ state: "detached" });
  assert.ok(!existsSync(join(share, "unneeded.txt")) && !existsSync(join(share, "store")));

  // Some of it as a zip.
  await page.getByRole("checkbox", { name: "chart.txt" }).check();
  await page.getByRole("checkbox", { name: "below" }).check();
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download", exact: true }).click();
  const zip = await (await downloading).path();
  const listed = execFileSync("unzip", ["-Z1", zip], { encoding: "utf8" }).trim().split("\n");
  assert.deepEqual(listed.filter((name) => !name.endsWith("/")).map((name) => name.split("/").at(-1)).sort(),
    ["chart.txt", "lantern.txt"]);
  await page.getByRole("button", { name: "Clear", exact: true }).click();

  // Filtered while typing; Enter searches below.
  const search = page.getByRole("searchbox");
  await search.fill("READ");
  await eventually("one row", async () => (await names(page)).join() === "README.md");
  await search.fill("lantern");
  await page.getByText("Press Enter to search below").waitFor();
  await search.press("Enter");
  await page.getByRole("link", { name: /lantern\.txt/ }).waitFor();
  await page.goBack();

  // Previews, from one to the next.
  await menu(page, "chart.txt", "Preview");
  const viewer = (name) => page.getByRole("dialog", { name, exact: true });
  await viewer("chart.txt").getByText("depths and shoals").waitFor();
  await page.keyboard.press("ArrowRight");
  const picture = viewer("quay.png").getByRole("img", { name: "quay.png" });
  await eventually("the picture", () => picture.evaluate((image) => image.naturalWidth === 1));
  await page.keyboard.press("ArrowRight");
  const readme = viewer("README.md");
  await readme.getByRole("heading", { name: "The harbour" }).waitFor();
  assert.equal(await readme.getByRole("listitem").count(), 2);
  await readme.getByText("click").click();
  assert.notEqual(await page.title(), "owned");
  assert.equal(await readme.locator("script").count(), 0);
  await page.keyboard.press("ArrowRight");
  await viewer("rules.pdf").locator("iframe").waitFor();
  await eventually("the document", () => server.count("GET /rules.pdf 200") > 0);
  await page.keyboard.press("Escape");
  await viewer("rules.pdf").waitFor({ state: "hidden" });

  // A phone far down in a long folder: menus, and times of its own clock.
  const crowd = Object.fromEntries(Array.from({ length: 1200 }, (_, at) => [`crowd/${at}.txt`, ""]));
  write(share, crowd);
  const evening = new Date("2024-02-03T20:15:00Z");
  utimesSync(join(share, "crowd/1150.txt"), evening, evening);
  const phone = await visitor({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true,
    timezoneId: "Asia/Shanghai" });
  await phone.goto(`${server.url}crowd/`);
  await phone.getByRole("columnheader", { name: "Modified", exact: true }).waitFor();
  await phone.getByRole("searchbox").fill("1150");
  await phone.getByRole("button", { name: "More for 1150.txt" }).tap();
  await phone.getByRole("menuitem", { name: "Preview" }).waitFor();
  await phone.keyboard.press("Escape");
  await row(phone, "1150.txt").getByText("2024-02-04 04:15").waitFor();
  content(page, phone);
});
