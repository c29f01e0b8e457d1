// Uploads a file with tus-js-client, going on where an earlier run has stopped.
// Takes one argument, JSON: tools, endpoint, file, name, state, chunk, parallel,
// authorization.

import { createReadStream } from "node:fs";
import { createRequire } from "node:module";

const wish = JSON.parse(process.argv[2]);
const { FileUrlStorage, Upload } = createRequire(`${wish.tools}/node/`)("tus-js-client");

const upload = new Upload(createReadStream(wish.file), {
  endpoint: wish.endpoint,
  chunkSize: wish.chunk,
  parallelUploads: wish.parallel,
  // In milliseconds; the server is away for as long as a start takes.
  retryDelays: [0, 200, 500, 1000, 1000, 2000, 2000, 5000, 5000],
  metadata: { filename: wish.name },
  headers: wish.authorization ? { Authorization: wish.authorization } : {},
  urlStorage: new FileUrlStorage(wish.state),
  removeFingerprintOnSuccess: true,
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
});
const [previous] = await upload.findPreviousUploads();
if (previous) upload.resumeFromPreviousUpload(previous);
console.log(previous ? "again" : "anew");
upload.start();
