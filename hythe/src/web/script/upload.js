/* Uploads: a queue of files that go to the server by tus 1.0.0, in pieces, so
   that whatever is cut off goes on from what the server has. What is unfinished
   is remembered in the browser: after a reload, picking the same file goes on. */

/** How many files are under way at once: more than one hides the round trips of
 * small files, many would only share the same line. */
const PARALLEL = 3;
/** Files up to this size go with the request that creates them. */
const SMALL = 1024 * 1024;
/** A piece is made to take some seconds, between these sizes. */
const SMALLEST_PIECE = 4 * 1024 * 1024;
const LARGEST_PIECE = 64 * 1024 * 1024;
const PIECE_SECONDS = 8;
/** A connection on which nothing moves for this long is given up. Longer while
 * the server, having all of a piece, writes it to its disk. */
const STALLED = 45_000;
const SETTLING = 300_000;
/** The longest wait between two tries. */
const LONGEST_WAIT = 30_000;
/** How often errors of the server's own are tried again before they count. */
const SERVER_TRIES = 8;
/** How many lines the queue shows at most. */
const LINES = 60;

const queue = [];
let policy = null;
let allPaused = false;

/* What state an upload can be in:

     waiting ─► sending ─► done
        ▲        │ │ └──► asking ─► waiting | skipped      (the name is taken)
        │        │ └────► retrying ─► sending              (network, server)
        ├────────┼──────► paused
        └────────┴──────► failed ─► waiting                (retry)
*/
const UNFINISHED = ["waiting", "sending", "asking", "retrying", "paused"];
/** Of these, what goes on without the visitor. */
const MOVING = ["waiting", "sending", "retrying"];
const uploadsUnfinished = () => queue.some((upload) => UNFINISHED.includes(upload.state));

/* --- What is remembered ----------------------------------------------------- */

const STORE = "hythe.uploads";
const tab = (() => {
  try {
    sessionStorage.hytheTab ||= `${Math.random()}`;
    return sessionStorage.hytheTab;
  } catch {
    return "";
  }
})();

/** All that is remembered: by fingerprint, what is needed to go on. Browsers may
 * refuse to keep anything; then uploads end with the page. */
function remembered() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) || {};
  } catch {
    return {};
  }
}

function change(edit) {
  const all = remembered();
  edit(all);
  try {
    localStorage.setItem(STORE, JSON.stringify(all));
  } catch { /* Full or forbidden. */ }
}

/** What tells a file from others, as far as a browser can see. */
const fingerprint = (folder, path, file) =>
  [folder, path, file.size, file.lastModified].join("\n");

function remember(upload) {
  const { folder, path, file, url, sent, replace } = upload;
  change((all) => {
    all[upload.key] = { folder, path, size: file.size, modified: file.lastModified, url, sent,
      replace, account: page.account || "", tab, at: Date.now() };
  });
}

const forget = (key) => change((all) => { delete all[key]; });

/* --- Adding ----------------------------------------------------------------- */

/** Adds files to the queue. Each is a file and its path below the folder. */
function enqueue(picked, folder = here()) {
  const all = remembered();
  for (const { file, path } of picked) {
    const key = fingerprint(folder, path, file);
    // The same file once more while it is under way: once is enough.
    if (queue.some((upload) => upload.key === key && UNFINISHED.includes(upload.state))) continue;
    const known = all[key];
    const upload = { key, file, path, folder, sent: 0, moving: 0, state: "waiting", tries: 0,
      piece: SMALLEST_PIECE };
    if (known) {
      Object.assign(upload, { url: known.url, sent: known.sent, replace: known.replace });
      upload.resumed = true;
    } else {
      // Not the file that was begun with, though it has its name.
      const other = Object.entries(all).find(([, entry]) =>
        entry.folder === folder && entry.path === path);
      if (other) upload.note = say("This is not the file that was begun with: its size or date is another. It starts from the beginning.");
    }
    queue.push(upload);
  }
  showUnfinished();
  next();
}

/** Opens the browser's own window to choose files, or a folder. */
function pickFiles(folder) {
  const field = el("input", { type: "file", multiple: true, webkitdirectory: folder });
  const target = here();
  field.addEventListener("change", () => {
    enqueue([...field.files].map((file) =>
      ({ file, path: file.webkitRelativePath || file.name })), target);
  });
  field.click();
}

/** The files that were dropped, with those in folders, however deep. */
async function dropped(transfer) {
  // The items are gone after the first pause, so that all are taken before it.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) {
    return { files: [...transfer.files].map((file) => ({ file, path: file.name })), folders: [] };
  }
  const found = { files: [], folders: [] };
  while (entries.length) {
    const entry = entries.pop();
    const path = entry.fullPath.replace(/^\//, "");
    try {
      if (entry.isFile) {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
        found.files.push({ file, path });
        continue;
      }
      const reader = entry.createReader();
      let empty = true;
      for (;;) {
        // Each call gives some of them; none means that these were all.
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) break;
        empty = false;
        entries.push(...some);
      }
      if (empty) found.folders.push(path);
      announce(say("Reading folders: {}", files(found.files.length)), false);
    } catch (error) {
      complain(say("{} can't be read.", path), error);
    }
  }
  found.files.sort((a, b) => a.path < b.path ? -1 : 1);
  return found;
}

/** Makes folders that have nothing in them, which no upload would. */
async function makeFolders(paths, folder) {
  for (const path of paths) {
    let target = folder;
    for (const name of path.split("/")) {
      target += `${part(name)}/`;
      try {
        await request("MKCOL", target);
      } catch (error) {
        // 405: it is there already.
        if (error.status !== 405) complain(say("The folder {} can't be made.", path), error);
      }
    }
  }
  if (paths.length) refresh();
}

/* --- The queue at work ------------------------------------------------------ */

/** Starts what may start. */
function next() {
  let busy = queue.filter((upload) => ["sending", "retrying"].includes(upload.state)).length;
  for (const upload of queue) {
    if (busy >= PARALLEL || allPaused) break;
    if (upload.state !== "waiting") continue;
    busy += 1;
    upload.state = "sending";
    run(upload);
  }
  if (!uploadsUnfinished()) policy = null;
  draw();
}

/** Brings one file to the server, however often it takes. */
async function run(upload) {
  const begun = Date.now();
  // Whoever goes on with it after a pause or a question runs anew: this one then
  // sees that it is over, though the state is again what it was.
  const turn = upload.turn = (upload.turn || 0) + 1;
  const mine = () => upload.turn === turn && upload.state === "sending";
  upload.error = null;
  while (mine()) {
    try {
      await advance(upload, begun);
    } catch (error) {
      // Paused or cancelled: that is what ended the request.
      if (!mine()) break;
      await settle(upload, error);
    }
  }
  if (upload.turn !== turn) return;
  upload.moving = 0;
  next();
}

/** One step: ask where it stands, create, or send a piece. */
async function advance(upload, begun) {
  if (upload.url && upload.doubt !== false) return locate(upload);
  if (!upload.url) return create(upload, begun);
  if (upload.sent < upload.file.size) return sendPiece(upload);
  finish(upload);
}

async function create(upload, begun) {
  const { file, path, folder } = upload;
  const whole = file.size <= SMALL;
  const metadata = [`filename ${base64(path.split("/").pop())}`,
    `lastModified ${base64(String(file.lastModified))}`];
  if (path.includes("/")) metadata.push(`relativePath ${base64(path)}`);
  if (file.type) metadata.push(`filetype ${base64(file.type)}`);
  const headers = { "Upload-Length": file.size, "Upload-Metadata": metadata.join(",") };
  if (!upload.replace) headers["If-None-Match"] = "*";
  if (whole) headers["Content-Type"] = "application/offset+octet-stream";
  let reply;
  try {
    reply = await transfer(upload, "POST", folder, headers, whole ? file : null);
  } catch (error) {
    // The answer to an earlier try may have been lost, and its file be there.
    if (error.status === 412 && upload.unheard && await isThere(upload, begun)) {
      finish(upload);
      return;
    }
    if (error.status === 0 || error.status >= 500) upload.unheard = true;
    throw error;
  }
  upload.url = new URL(reply.getResponseHeader("Location"), location.href).pathname;
  upload.sent = Number(reply.getResponseHeader("Upload-Offset")) || (whole ? file.size : 0);
  upload.doubt = false;
  upload.tries = 0;
  if (upload.sent < file.size) remember(upload);
  else finish(upload);
}

/** Whether a file of this size has appeared under this name since we began. */
async function isThere(upload, begun) {
  try {
    const reply = await request("HEAD", fileAddress(upload));
    const size = Number(reply.headers.get("Content-Length"));
    const asked = Date.parse(reply.headers.get("Date")) - Date.now() + begun;
    const made = Date.parse(reply.headers.get("Last-Modified"));
    const own = Math.floor(upload.file.lastModified / 1000) * 1000;
    return size === upload.file.size && (made === own || made >= asked - 2000);
  } catch {
    return false;
  }
}

const fileAddress = (upload) =>
  upload.folder + upload.path.split("/").map(part).join("/");

/** Asks the server how much of it has arrived. */
async function locate(upload) {
  const reply = await transfer(upload, "HEAD", upload.url, {}, null);
  upload.sent = Number(reply.getResponseHeader("Upload-Offset"));
  upload.doubt = false;
  remember(upload);
  draw();
}

async function sendPiece(upload) {
  const from = upload.sent;
  const piece = upload.file.slice(from, Math.min(from + upload.piece, upload.file.size));
  const begun = performance.now();
  const reply = await transfer(upload, "PATCH", upload.url, {
    "Upload-Offset": from, "Content-Type": "application/offset+octet-stream",
  }, piece);
  const seconds = (performance.now() - begun) / 1000;
  upload.sent = Number(reply.getResponseHeader("Upload-Offset"));
  upload.moving = 0;
  upload.tries = 0;
  const better = piece.size / Math.max(seconds, 0.05) * PIECE_SECONDS;
  upload.piece = Math.max(SMALLEST_PIECE, Math.min(better, upload.piece * 2, LARGEST_PIECE));
  upload.piece = Math.round(upload.piece);
  if (upload.sent < upload.file.size) remember(upload);
  else finish(upload);
}

function finish(upload) {
  forget(upload.key);
  upload.state = "done";
  upload.sent = upload.file.size;
  upload.url = null;
  showSoon(fileAddress(upload));
}

/** What becomes of an upload after an error. */
async function settle(upload, error) {
  upload.moving = 0;
  upload.doubt = true;
  const { status } = error;
  if (status === 412 && !upload.url) {
    await conflict(upload);
  } else if ((status === 404 || status === 410) && upload.url) {
    // The server has forgotten it: from the beginning, and say so.
    forget(upload.key);
    Object.assign(upload, { url: null, sent: 0 });
    upload.note = say("The server no longer has what was sent. It starts from the beginning.");
    upload.tries += 1;
    if (upload.tries > 2) fail(upload, error);
  } else if (status === 409 && upload.url && upload.tries < 3) {
    upload.tries += 1;
  } else if (status === 0 || [408, 423, 429].includes(status)) {
    await waitFor(upload, error);
  } else if (status >= 500 && status !== 507 && upload.tries < SERVER_TRIES) {
    await waitFor(upload, error);
  } else {
    fail(upload, error);
  }
  draw();
}

function fail(upload, error) {
  upload.state = "failed";
  upload.error = error;
  announce(say("{} could not be uploaded.", upload.path));
}

/** Waits before the next try, twice as long each time; not while there is surely
 * no network, and no longer once there is one again. */
async function waitFor(upload, error) {
  upload.tries += 1;
  upload.error = error;
  upload.state = "retrying";
  const wait = Math.min(LONGEST_WAIT, 1000 * 2 ** (upload.tries - 1)) * (0.8 + Math.random() * 0.4);
  upload.until = Date.now() + wait;
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, wait);
    upload.wake = () => { clearTimeout(timer); resolve(); };
    draw();
  });
  upload.wake = null;
  if (upload.state === "retrying") upload.state = "sending";
}

addEventListener("online", () => {
  for (const upload of queue) upload.wake?.();
});

/** One request of an upload. XMLHttpRequest, since fetch can't tell how much has
 * been sent. */
function transfer(upload, method, url, headers, content) {
  return new Promise((resolve, reject) => {
    const exchange = new XMLHttpRequest();
    upload.exchange = exchange;
    exchange.open(method, url);
    exchange.setRequestHeader("Tus-Resumable", "1.0.0");
    exchange.setRequestHeader("Accept", "application/json, text/plain;q=0.9");
    for (const [name, value] of Object.entries(headers)) exchange.setRequestHeader(name, value);
    let watch;
    const stir = (patience = STALLED) => {
      clearTimeout(watch);
      watch = setTimeout(() => exchange.abort(), patience);
    };
    exchange.upload.onprogress = (event) => {
      upload.moving = event.loaded;
      stir();
      draw();
    };
    exchange.upload.onload = () => stir(SETTLING);
    exchange.onloadend = () => {
      clearTimeout(watch);
      upload.exchange = null;
      if (exchange.status >= 200 && exchange.status < 300) return resolve(exchange);
      if (!exchange.status) return reject(unreachable());
      const type = exchange.getResponseHeader("Content-Type") || "";
      reject(new Refusal(exchange.status, reason(exchange.status, exchange.responseText, type)));
    };
    stir();
    exchange.send(content);
  });
}

/** Text as base64 of its UTF-8. */
const base64 = (text) =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/* --- When the name is taken ------------------------------------------------- */

let asked = Promise.resolve();

/** One question at a time, and none for what has been answered for all. */
function conflict(upload) {
  // The answer was to keep both, and what it was numbered with is taken as well.
  if (upload.both) {
    upload.path = numbered(upload.path);
    return null;
  }
  upload.state = "asking";
  next();
  asked = asked.then(async () => {
    if (upload.state !== "asking") return;
    const answer = policy || await askConflict(upload);
    if (upload.state === "asking") resolve(upload, answer);
  });
  return asked;
}

async function askConflict(upload) {
  const others = queue.some((other) => other !== upload && UNFINISHED.includes(other.state));
  const all = el("input", { type: "checkbox" });
  const content = [el("p", {}, named(upload.path)),
    el("p", { text: say("There is already a file or folder of this name.") })];
  if (others) content.push(el("p", {}, el("label", { class: "check" }, all, say("Do this for all"))));
  const choices = [["skip", say("Skip")], ["both", say("Keep both")]];
  if (may("write")) choices.push(["replace", say("Replace"), "danger"]);
  const answer = await ask(say("Already there"), content, choices) || "skip";
  if (all.checked) policy = answer;
  return answer;
}

function resolve(upload, answer) {
  if (answer === "skip") {
    upload.state = "skipped";
  } else {
    if (answer === "replace") upload.replace = true;
    else Object.assign(upload, { both: true, path: numbered(upload.path) });
    upload.state = "waiting";
    upload.unheard = false;
  }
  next();
}

/** `a/b.txt` as `a/b (2).txt`, that as `a/b (3).txt`. */
function numbered(path) {
  const [, folder, stem, number, end] =
    path.match(/^(.*\/)?(.+?)(?: \((\d+)\))?((?:\.tar)?\.[^./ ]+)?$/s) || [];
  return `${folder || ""}${stem} (${Number(number || 1) + 1})${end || ""}`;
}

/* --- What visitors can do with uploads -------------------------------------- */

function pause(upload) {
  if (!MOVING.includes(upload.state)) return;
  upload.state = "paused";
  upload.doubt = true;
  upload.exchange?.abort();
  upload.wake?.();
}

function resume(upload) {
  if (!["paused", "failed", "skipped"].includes(upload.state)) return;
  // A request that is still ending would be taken for the new one's.
  if (upload.exchange) { setTimeout(() => resume(upload), 50); return; }
  Object.assign(upload, { state: "waiting", tries: 0, error: null });
  next();
}

/** Takes it out of the queue, and what has arrived of it off the server. */
function cancel(upload) {
  const finished = upload.state === "done";
  upload.state = "cancelled";
  upload.exchange?.abort();
  upload.wake?.();
  queue.splice(queue.indexOf(upload), 1);
  if (!finished) forget(upload.key);
  if (upload.url) discard(upload.url);
  next();
}

/** If this fails, the server forgets it when its time has come. */
const discard = (url) =>
  request("DELETE", url, { headers: { "Tus-Resumable": "1.0.0" } }).catch(() => {});

async function cancelAll() {
  const unfinished = queue.filter((upload) => UNFINISHED.includes(upload.state));
  if (unfinished.length > 1) {
    const answer = await ask(say("Cancel {}?", files(unfinished.length)),
      [el("p", { text: say("What has arrived of them is deleted from the server.") })],
      [["", say("Go on uploading")], ["ok", say("Cancel the uploads"), "main danger"]]);
    if (!answer) return;
  }
  for (const upload of unfinished) cancel(upload);
}

function pauseAll() {
  allPaused = !allPaused;
  for (const upload of queue) {
    if (allPaused) pause(upload);
    else if (upload.state === "paused") resume(upload);
  }
  next();
}

/** Takes what needs no more attention out of the queue. */
function clearDone() {
  for (let at = queue.length - 1; at >= 0; at -= 1) {
    if (["done", "skipped"].includes(queue[at].state)) queue.splice(at, 1);
  }
  draw();
}

/* --- The panel -------------------------------------------------------------- */

const panel = el("section", { class: "queue", "aria-label": say("Uploads"), hidden: true });
const title = el("h2");
const figures = el("p", { class: "quiet" });
const total = el("progress", { max: 1, "aria-label": say("All uploads") });
const lines = el("ul");
const left = el("p", { class: "quiet", hidden: true });
const fold = button("", () => {
  panel.classList.toggle("folded");
  fold.setAttribute("aria-expanded", String(!panel.classList.contains("folded")));
}, { class: "plain fold", "aria-expanded": "true", "aria-label": say("Show the files") });
const pausing = button("", pauseAll);
const cancelling = button(say("Cancel all"), cancelAll);
const clearing = button(say("Clear the list"), clearDone);
const unfinishedList = el("ul");
const unfinished = el("section", { class: "unfinished", hidden: true },
  el("h2", { text: say("Unfinished uploads") }),
  el("p", { class: "quiet", text: say("Choose the same file again, or drop it here, to go on where it stopped.") }),
  unfinishedList);
panel.append(
  el("header", {}, title, fold),
  total, figures,
  el("div", { class: "body" },
    el("p", { class: "choices" }, pausing, cancelling, clearing), unfinished, lines, left));

new ResizeObserver(() => {
  document.documentElement.style.setProperty("--queue", `${panel.offsetHeight}px`);
}).observe(panel);

// On a phone the panel would cover half of what there is to see.
if (matchMedia("(max-width: 40rem)").matches) fold.click();

/** Lines that are shown, by their upload: changed rather than made anew, so that
 * the focus stays. */
const drawn = new Map();
let drawing = false;
let samples = [];

/** Draws the queue soon; often called, seldom done. */
function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => { drawing = false; drawNow(); }, 150);
}

const arrived = (upload) => upload.state === "done" ? upload.file.size
  : Math.min(upload.sent + upload.moving, upload.file.size);

/** Bytes a second over the last seconds. */
function pace(done) {
  const now = performance.now();
  samples.push([now, done]);
  samples = samples.filter(([at]) => now - at < 6000);
  const [at, before] = samples[0];
  // What was begun anew goes backwards.
  if (done < before) samples = [[now, done]];
  return now - at < 800 ? 0 : Math.max(0, done - before) / (now - at) * 1000;
}

function drawNow() {
  const counted = queue.filter((upload) => !["skipped", "failed"].includes(upload.state));
  const size = counted.reduce((sum, upload) => sum + upload.file.size, 0);
  const done = counted.reduce((sum, upload) => sum + arrived(upload), 0);
  const ready = counted.filter((upload) => upload.state === "done").length;
  const failed = queue.filter((upload) => upload.state === "failed").length;
  const active = uploadsUnfinished();
  const speed = pace(done);
  panel.hidden = !queue.length && unfinished.hidden;
  document.body.classList.toggle("with-queue", !panel.hidden);

  title.textContent = active ? say("Uploading: {} of {}", ready, counted.length)
    : failed ? say("{} could not be uploaded", files(failed))
    : queue.length ? say("Uploaded: {}", files(ready)) : say("Unfinished uploads");
  total.hidden = !counted.length;
  total.value = size ? done / size : (active ? 0 : 1);
  const parts = [say("{} of {}", bytes(done), bytes(size))];
  const retrying = queue.find((upload) => upload.state === "retrying");
  if (active && retrying && !speed) {
    parts.push(navigator.onLine ? say("waiting for the server") : say("no network"));
  } else if (active && !queue.some((upload) => MOVING.includes(upload.state))) {
    parts.push(say("Paused"));
  } else if (active && speed > 0) {
    parts.push(`${bytes(speed)}/s`);
    parts.push(say("{} left", span((size - done) / speed)));
  }
  if (active && failed) parts.push(say("{} could not be uploaded", files(failed)));
  figures.textContent = parts.join(" · ");
  figures.hidden = !counted.length;
  pausing.textContent = allPaused ? say("Go on") : say("Pause all");
  pausing.hidden = cancelling.hidden = !active;
  clearing.hidden = !queue.some((upload) => ["done", "skipped"].includes(upload.state));
  unfinished.firstElementChild.hidden = !queue.length;
  if (active) announce(`${title.textContent}, ${figures.textContent}`, false);
  else if (panel.dataset.active && queue.length) announce(title.textContent);
  if (active) panel.dataset.active = "";
  else delete panel.dataset.active;
  drawLines();
  // Waiting times and speeds go on without events.
  if (active) draw();
}

/** What matters first: what failed or asks, what moves, what waits, what is done. */
const RANK = { failed: 0, asking: 1, retrying: 2, sending: 2, paused: 3, waiting: 4, skipped: 5, done: 6 };

function drawLines() {
  const sorted = queue.map((upload, at) => [RANK[upload.state], at, upload])
    .sort((a, b) => a[0] - b[0] || (a[0] === 6 ? b[1] - a[1] : a[1] - b[1]))
    .map(([, , upload]) => upload);
  const bad = sorted.filter((upload) => upload.state === "failed").length;
  const shown = sorted.slice(0, Math.max(LINES, bad));
  const keep = new Set(shown);
  for (const [upload, line] of drawn) {
    if (!keep.has(upload)) { line.remove(); drawn.delete(upload); }
  }
  shown.forEach((upload, at) => {
    if (!drawn.has(upload)) drawn.set(upload, makeLine(upload));
    const line = drawn.get(upload);
    if (lines.children[at] !== line) {
      const focused = line.contains(document.activeElement) ? document.activeElement : null;
      lines.insertBefore(line, lines.children[at] || null);
      focused?.focus();
    }
    drawLine(upload, line);
  });
  left.hidden = sorted.length === shown.length;
  left.textContent = say("and {} more", sorted.length - shown.length);
}

function makeLine(upload) {
  const name = named(upload.path);
  const text = el("p", { class: "quiet" });
  const bar = el("progress", { max: 1, "aria-label": upload.path });
  const acts = el("span", { class: "acts" });
  const toggle = button("", () => {
    if (["failed", "paused", "skipped"].includes(upload.state)) resume(upload);
    else if (upload.state === "retrying") upload.wake?.();
    else { pause(upload); next(); }
  });
  const end = button("×", () => cancel(upload), { class: "plain" });
  acts.append(toggle, end);
  return el("li", {}, el("p", { class: "name" }, name), acts, bar, text);
}

function drawLine(upload, line) {
  const [name, acts, bar, text] = line.children;
  const [toggle, end] = acts.children;
  const { state, file } = upload;
  if (line.dataset.state !== state || text.dataset.note !== (upload.note || "")) {
    line.dataset.state = state;
    text.dataset.note = upload.note || "";
  }
  name.firstChild.textContent = upload.path;
  bar.hidden = ["done", "skipped", "waiting"].includes(state);
  bar.value = file.size ? arrived(upload) / file.size : 0;
  toggle.hidden = ["done", "asking"].includes(state);
  const label = { failed: say("Retry"), skipped: say("Retry"), paused: say("Go on"),
    retrying: say("Retry now") }[state] || say("Pause");
  if (toggle.textContent !== label) toggle.textContent = label;
  toggle.setAttribute("aria-label", `${label}: ${upload.path}`);
  end.setAttribute("aria-label", state === "done" ? `${say("Dismiss")}: ${upload.path}`
    : `${say("Cancel")}: ${upload.path}`);
  const share = say("{} of {}", bytes(arrived(upload)), bytes(file.size));
  const words = {
    waiting: () => say("Waiting"),
    sending: () => share,
    asking: () => say("There is already a file or folder of this name."),
    paused: () => `${say("Paused")} · ${share}`,
    done: () => `${say("Done")} · ${bytes(file.size)}`,
    skipped: () => say("Skipped: it was there already."),
    retrying: () => say("{} Next try in {}.", upload.error.message,
      span((upload.until - Date.now()) / 1000)),
  };
  if (state === "failed") {
    // Made once: a link in it may have the focus.
    if (text.error !== upload.error) {
      text.error = upload.error;
      text.replaceChildren(...explanation(upload.error).childNodes);
    }
    return;
  }
  text.error = null;
  const note = upload.note ? ` ${upload.note}` : "";
  const said = words[state]() + note;
  if (text.textContent !== said) text.textContent = said;
}

/** Shows in the list what has arrived: soon after the last, and meanwhile not for
 * each of many small files. */
let showing = null;
function showSoon(folder) {
  // What is further down may be the first in a new folder of this one.
  if (document.hidden || !folder.startsWith(here())) return;
  const last = !uploadsUnfinished();
  if (showing && !last) return;
  clearTimeout(showing);
  showing = setTimeout(() => {
    showing = null;
    refresh();
  }, last ? 200 : 2500);
}
document.addEventListener("visibilitychange", () => {
  if (queue.some((upload) => upload.state === "done")) showSoon(here());
});

/* --- What an earlier page has begun ----------------------------------------- */

/** Lists what is remembered and not in the queue. */
function showUnfinished() {
  const items = [];
  for (const [key, entry] of Object.entries(remembered())) {
    const mine = entry.account === (page.account || "");
    const elsewhere = entry.tab !== tab && Date.now() - entry.at < 20_000;
    if (!mine || elsewhere || queue.some((upload) => upload.key === key)) continue;
    items.push(unfinishedItem(key, entry));
  }
  unfinishedList.replaceChildren(...items);
  unfinished.hidden = !items.length;
  draw();
}

function unfinishedItem(key, entry) {
  const text = el("p", { class: "quiet",
    text: say("{} of {}", bytes(entry.sent), bytes(entry.size)) });
  const choosing = button(say("Choose the file"), () => {
    const field = el("input", { type: "file" });
    field.addEventListener("change", () => {
      const [file] = field.files;
      if (fingerprint(entry.folder, entry.path, file) === key) {
        enqueue([{ file, path: entry.path }], entry.folder);
      } else {
        text.textContent = say("{} is not the file that was begun with: its size or date is another.", file.name);
        text.className = "wrong";
      }
    });
    field.click();
  });
  const end = button("×", () => {
    forget(key);
    discard(entry.url);
    showUnfinished();
  }, { class: "plain", "aria-label": `${say("Discard")}: ${entry.path}` });
  let shown = entry.folder + entry.path;
  try {
    shown = decodeURIComponent(entry.folder) + entry.path;
  } catch { /* Not UTF-8: shown as it is. */ }
  const bar = el("progress", { max: 1, "aria-label": entry.path });
  bar.value = entry.size ? entry.sent / entry.size : 0;
  return el("li", {}, el("p", { class: "name" }, named(shown)),
    el("span", { class: "acts" }, choosing, end), bar, text);
}

/** Asks the server what it still has of what is remembered. */
async function checkRemembered() {
  for (const [key, entry] of Object.entries(remembered())) {
    if (entry.account !== (page.account || "")) continue;
    if (queue.some((upload) => upload.key === key)) continue;
    try {
      const reply = await request("HEAD", entry.url, { headers: { "Tus-Resumable": "1.0.0" } });
      const sent = Number(reply.headers.get("Upload-Offset"));
      // Finished, though the answer was lost.
      if (sent >= entry.size) forget(key);
      else change((all) => { if (all[key]) all[key].sent = sent; });
    } catch (error) {
      if (error.status !== 404 && error.status !== 410) continue;
      forget(key);
      complain(say("The unfinished upload of {} has expired. Upload it again.", entry.path));
    }
  }
  showUnfinished();
  if (!unfinished.hidden && panel.classList.contains("folded")) fold.click();
}

/* --- Files from outside ----------------------------------------------------- */

const target = el("div", { class: "drop", hidden: true },
  el("p", { text: say("Drop files and folders to upload them here") }));
let dragging = 0;
const hasFiles = (event) => may("upload") && page.base === page.mount
  && [...event.dataTransfer?.types || []].includes("Files");

addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  dragging += 1;
  target.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!hasFiles(event)) return;
  dragging -= 1;
  if (dragging <= 0) target.hidden = true;
});
addEventListener("dragover", (event) => {
  if (hasFiles(event)) event.preventDefault();
});
addEventListener("drop", async (event) => {
  dragging = 0;
  target.hidden = true;
  if (!hasFiles(event)) return;
  event.preventDefault();
  const folder = here();
  const found = await dropped(event.dataTransfer);
  enqueue(found.files, folder);
  makeFolders(found.folders, folder);
});
addEventListener("paste", (event) => {
  const pasted = [...event.clipboardData?.files || []];
  if (!pasted.length || !may("upload") || page.base !== page.mount) return;
  event.preventDefault();
  enqueue(pasted.map((file) => ({ file, path: file.name })));
});

/** Leaving would end the uploads; downloads look like leaving. */
let downloading = 0;
const expectDownload = (event) => {
  if (event.target.closest?.("a[href*='?zip'], a[href*='?tar'], a[download], #listing")) {
    downloading = Date.now();
  }
};
addEventListener("submit", expectDownload, true);
addEventListener("click", expectDownload, true);
addEventListener("beforeunload", (event) => {
  if (!uploadsUnfinished() || Date.now() - downloading < 1000) return;
  event.preventDefault();
});
