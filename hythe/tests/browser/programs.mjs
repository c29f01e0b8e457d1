// Forms that programs answer: a page of PHP, by php-fpm, and a Python script.

import { chmodSync } from "node:fs";
import { join } from "node:path";
import { Server, assert, content, folder, row, test, visitor, write } from "./harness.mjs";

const { php } = JSON.parse(process.argv[2]);

const FORM = `<?php $name = $_POST["name"] ?? null; ?>
<!doctype html><html lang="en"><meta charset="utf-8"><title>Guests</title>
<link rel="icon" href="data:,">
<form method="post" enctype="multipart/form-data">
<label>Name <input name="name"></label> <label>Picture <input type="file" name="picture"></label>
<button>Send</button></form>
<?php if ($name !== null) { ?>
<p role="status">Hello, <?= htmlspecialchars($name) ?>: <?= htmlspecialchars($_FILES["picture"]["name"]) ?>
<?= $_FILES["picture"]["size"] ?></p>
<?php } ?>
`;

const SCRIPT = `#!/usr/bin/env python3
import html, os, sys, urllib.parse
length = int(os.environ.get("CONTENT_LENGTH") or 0)
form = urllib.parse.parse_qs(sys.stdin.buffer.read(length).decode())
page = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Ships</title>'
page += '<link rel="icon" href="data:,"><form method="post"><label>Ship <input name="ship"></label>'
page += '<button>Send</button></form>'
if "ship" in form:
    page += f'<p role="status">{html.escape(form["ship"][0])} is in port</p>'
sys.stdout.buffer.write(b"Content-Type: text/html; charset=utf-8\\n\\n" + page.encode())
`;

test(async () => {
  const share = folder();
  const scripts = folder();
  write(share, { "guests.php": FORM });
  write(scripts, { "ships.py": SCRIPT, "picture.txt": "船" });
  chmodSync(join(scripts, "ships.py"), 0o755);
  const server = await Server.start(share, ["--fastcgi", `.php=${php}`, "--cgi", `/cgi=${scripts}`]);
  const page = await visitor();

  // From the list, as anybody comes to it.
  await page.goto(server.url);
  await row(page, "guests.php").getByRole("link", { name: "guests.php" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("Müller & 来");
  await page.getByLabel("Picture").setInputFiles(join(scripts, "picture.txt"));
  await page.getByRole("button", { name: "Send" }).click();
  assert.match(await page.getByRole("status").textContent(), /Hello, Müller & 来: picture\.txt\s*3/);

  await page.goto(`${server.url}cgi/ships.py`);
  await page.getByLabel("Ship").fill("<Ål> 船");
  await page.getByRole("button", { name: "Send" }).click();
  assert.equal(await page.getByRole("status").textContent(), "<Ål> 船 is in port");
  content(page);
});
