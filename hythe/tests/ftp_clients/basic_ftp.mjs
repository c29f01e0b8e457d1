// A visit with basic-ftp from npm, as its one argument says in JSON.

import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const wish = JSON.parse(process.argv[2]);
const { Client } = createRequire(`${wish.tools}/node/`)("basic-ftp");

const here = (name) => join(wish.here, name);
const there = (name) => `${wish.there}/${name}`;

const client = new Client(60_000);

const tasks = {
  Down: () => client.downloadToDir(here("tree"), there("tree")),
  Up: () => client.uploadFromDir(here("tree"), there("tree")),
  GoOnDown: () => client.downloadTo(here("big.bin"), there("big.bin"), statSync(here("big.bin")).size),
  GoOnUp: async () => {
    const localStart = await client.size(there("big.bin"));
    await client.appendFrom(here("big.bin"), there("big.bin"), { localStart });
  },
  Rename: () => client.rename(there(wish.old), there(wish.new)),
  Delete: () => client.remove(there(wish.unwanted)),
  MakeFolder: () => client.ensureDir(there(wish.folder)),
  RemoveFolder: () => client.removeEmptyDir(there(wish.folder)),
};

try {
  await client.access({
    host: wish.host,
    port: wish.port,
    secure: { Never: false, Explicit: true, Implicit: "implicit" }[wish.tls],
    secureOptions: { ca: readFileSync(wish.trust), host: wish.host },
  });
  await tasks[wish.task]();
} finally {
  client.close();
}
