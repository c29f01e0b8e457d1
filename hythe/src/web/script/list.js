/* The listing: filter, selection, and what can be done with what is selected. */

/** Rows that can be selected, as they stand in the table. */
const rows = () => [...document.querySelectorAll("#listing tbody:not(.parent) tr")];

/** What a row is about; null where no URL can name it. */
function itemOf(row) {
  const link = row.querySelector("th a");
  if (!link) return null;
  const size = row.querySelector("data");
  return {
    row,
    href: link.getAttribute("href"),
    name: link.querySelector("bdi").textContent,
    folder: row.classList.contains("folder"),
    program: row.classList.contains("program"),
    size: size ? Number(size.value) : 0,
  };
}

const boxOf = (row) => row.querySelector("input[type=checkbox]");
const BOXES = "#listing tbody input[type=checkbox]";
const chosen = () =>
  [...document.querySelectorAll(`${BOXES}:checked`)].map((box) => itemOf(box.closest("tr")));

/* --- Showing a page without leaving this one -------------------------------- */

let loading = 0;

/**
 * Fetches a page of ours and puts its content in place of what is shown, so that
 * the uploads of this page go on. Keeps what is selected, typed and focused if it
 * is the same page again.
 */
async function load(address, { again = false } = {}) {
  const turn = ++loading;
  const reply = await request("GET", address, { headers: { Accept: "text/html" } });
  const next = new DOMParser().parseFromString(await reply.text(), "text/html");
  // Another one was asked for meanwhile, or this is not a page with a listing.
  if (turn !== loading) return;
  if (!next.querySelector("#listing")) { location.assign(address); return; }
  if (again) {
    const kept = keep();
    // The bar stays: a visitor may be typing in it.
    for (const part of ["#listing", "body > footer"]) {
      document.querySelector(part).replaceWith(next.querySelector(part));
    }
    dressListing();
    restore(kept);
    return;
  }
  for (const part of ["header", "main", "footer"]) {
    document.querySelector(`body > ${part}`).replaceWith(next.querySelector(`body > ${part}`));
  }
  document.title = next.title;
  dress();
  scrollTo(0, 0);
  announce(document.title);
  document.querySelector("h1").tabIndex = -1;
  document.querySelector("h1").focus();
}

/** What a visitor would miss. */
function keep() {
  const focused = document.activeElement;
  return {
    names: new Set(chosen().map((item) => item.href)),
    link: focused.closest?.("#listing a")?.getAttribute("href"),
    box: focused.closest?.("tr")?.querySelector("th a")?.getAttribute("href"),
  };
}

function restore({ names, link, box }) {
  for (const row of rows()) {
    const href = itemOf(row)?.href;
    if (names.has(href)) boxOf(row).checked = true;
    if (href && href === link) row.querySelector("th a").focus({ preventScroll: true });
    else if (href && href === box) boxOf(row)?.focus({ preventScroll: true });
  }
  filterRows();
  showChosen();
}

/** Shows what is in this folder now. */
async function refresh() {
  try {
    await load(location.href, { again: true });
  } catch (error) {
    complain(say("This list can't be brought up to date."), error);
  }
}

/** Goes to another page of ours, without ending the uploads of this one. */
async function go(address) {
  if (!uploadsUnfinished()) { location.assign(address); return; }
  try {
    history.pushState({}, "", address);
    await load(address);
  } catch (error) {
    complain(say("This folder can't be shown."), error);
  }
}

addEventListener("popstate", () => {
  load(location.href).catch(() => location.reload());
});

/* --- Filter ----------------------------------------------------------------- */

function filterRows() {
  const none = document.querySelector(".none-match");
  // What was found is not filtered once more.
  if (!none) return;
  const needle = document.querySelector(".search input").value.trim().toLowerCase();
  let shown = 0;
  for (const row of rows()) {
    const name = row.querySelector("bdi").textContent.toLowerCase();
    row.hidden = !name.includes(needle);
    if (!row.hidden) shown += 1;
  }
  none.hidden = shown > 0 || !needle;
  if (needle) announce(say("{} shown", shown), false);
}

/* --- Selection -------------------------------------------------------------- */

let lastBox = null;

/** A click on a box; with the shift key, on all between the last one and this. */
function choose(box, range) {
  if (range && lastBox?.isConnected) {
    const all = rows().filter((row) => !row.hidden).map(boxOf).filter(Boolean);
    const [from, to] = [all.indexOf(lastBox), all.indexOf(box)].sort((a, b) => a - b);
    for (const other of all.slice(Math.max(from, 0), to + 1)) other.checked = box.checked;
  }
  lastBox = box;
  showChosen();
}

function chooseAll(checked) {
  for (const row of rows()) {
    const box = boxOf(row);
    // What the filter hides is never chosen unseen.
    if (box) box.checked = checked && !row.hidden;
  }
  showChosen();
}

/** Brings the bar of what is selected up to date. */
function showChosen() {
  const bar = document.querySelector(".chosen");
  const number = document.querySelectorAll(`${BOXES}:checked`).length;
  const boxes = document.querySelectorAll(BOXES).length;
  const all = document.querySelector("thead input");
  if (all) {
    all.checked = number > 0 && number === boxes;
    all.indeterminate = number > 0 && number < boxes;
  }
  bar.classList.toggle("active", number > 0);
  bar.querySelector("output").textContent = number ? say("{} selected", number) : "";
  for (const single of bar.querySelectorAll(".single")) single.hidden = number !== 1;
}

/* --- What can be done ------------------------------------------------------- */

/** Does something with each of several, and says of each what went wrong. */
async function each(items, verb, failed) {
  let done = 0;
  for (const item of items) {
    try {
      await verb(item);
      done += 1;
    } catch (error) {
      complain(failed(item.name), error);
      // Whoever may not do it with one may not with any.
      if ([0, 401, 403].includes(error.status)) break;
    }
  }
  await refresh();
  return done;
}

const makeFolder = () => askName(say("New folder"), say("Name"), "", say("Make"), async (name) => {
  try {
    await request("MKCOL", `${here()}${part(name)}/`);
  } catch (error) {
    if ([405, 412].includes(error.status)) return say("There is already something called {}.", name);
    complain(say("The folder {} can't be made.", name), error);
    return "";
  }
  await refresh();
  announce(say("Made the folder {}.", name));
  focusOn(`${here()}${part(name)}/`);
  return "";
});

/** Puts the focus on what has just been made or renamed. */
function focusOn(href) {
  for (const row of rows()) {
    if (itemOf(row)?.href === href) row.querySelector("th a").focus();
  }
}

async function move(item, target) {
  // Destinations are paths: the server knows its own host better than we do.
  await request("MOVE", item.href, { headers: { Destination: target, Overwrite: "F" } });
}

/** The end of a file's name that tells its kind, which mostly stays. */
const ending = (item) =>
  item.folder ? "" : item.name.match(/[^.]((?:\.tar)?\.[^. ]+)$/)?.[1] || "";

const rename = (item) => askName(say("Rename"), say("New name"), item.name, say("Rename"), async (name) => {
  if (name === item.name) return "";
  const target = parentOf(item.href) + part(name) + (item.folder ? "/" : "");
  try {
    await move(item, target);
  } catch (error) {
    if (error.status === 412) return say("There is already something called {}.", name);
    complain(say("{} can't be renamed.", item.name), error);
    return "";
  }
  await refresh();
  announce(say("Renamed."));
  focusOn(target);
  return "";
}, ending(item));

async function moveAll(items) {
  const folder = await pickFolder(say("Move {} to", things(items.length)), items);
  if (folder === null) return;
  const done = await each(items, async (item) => {
    const target = folder + lastPart(item.href) + (item.folder ? "/" : "");
    try {
      await move(item, target);
    } catch (error) {
      if (error.status === 412) error.message = say("There is already something of this name.");
      throw error;
    }
  }, (name) => say("{} can't be moved.", name));
  announce(say("Moved {}.", things(done)));
}

async function removeAll(items) {
  const folders = items.some((item) => item.folder);
  const content = [nameList(items.map((item) => item.name + (item.folder ? "/" : "")))];
  content.push(el("p", { class: "quiet", text: folders
    ? say("Folders are deleted with all that is in them. This can't be undone.")
    : say("This can't be undone.") }));
  const answer = await ask(say("Delete {}?", things(items.length)), content,
    [["", say("Cancel")], ["ok", say("Delete"), "main danger"]]);
  if (!answer) return;
  const done = await each(items, (item) => request("DELETE", item.href),
    (name) => say("{} can't be deleted.", name));
  announce(say("Deleted {}.", things(done)));
}

/** Lets the visitor walk through the folders; the path of one, or null. */
async function pickFolder(title, items) {
  const moved = new Set(items.map((item) => item.href));
  const list = el("ul", { class: "folders" });
  const way = el("p", { class: "path" });
  let path = here();
  const show = async (folder, name) => {
    list.replaceChildren(el("li", { class: "quiet", text: say("Loading…") }));
    let listing;
    try {
      listing = await (await request("GET", `${folder}?json`)).json();
    } catch (error) {
      list.replaceChildren(el("li", {}, explanation(error)));
      return;
    }
    path = folder;
    way.replaceChildren(named(listing.path));
    // What is there already has no need to be moved there.
    const stays = items.every((item) => parentOf(item.href) === folder);
    const moving = list.closest("dialog")?.querySelector("button.main");
    if (moving) moving.disabled = stays;
    const choices = [];
    const root = `${page.base}/`;
    if (folder !== root) {
      choices.push(button(say("Parent folder"), () => show(parentOf(folder)), { class: "up" }));
    }
    for (const entry of listing.entries) {
      // A folder can't be moved into itself.
      if (entry.type !== "folder" || !entry.href || moved.has(entry.href)) continue;
      const choice = button("", () => show(entry.href), {});
      choice.append(named(entry.name));
      choices.push(choice);
    }
    list.replaceChildren(...choices.map((choice) => el("li", {}, choice)));
    if (!choices.length) list.append(el("li", { class: "quiet", text: say("No folders in here.") }));
    if (name) list.querySelector("button")?.focus();
  };
  show(path);
  const answer = await ask(title, [way, list],
    [["", say("Cancel")], ["ok", say("Move here"), "main"]]);
  return answer ? path : null;
}

/** The address of something, for other people. */
const address = (item) => new URL(item.href, location.href).href;

async function share(item) {
  const lasting = el("select", { name: "expires", autofocus: true });
  for (const [seconds, label] of [[3600, say("An hour")], [86400, say("A day")],
    [604800, say("A week")], [2592000, say("A month")], [0, say("For ever")]]) {
    lasting.append(el("option", { value: seconds, text: label, selected: seconds === 604800 }));
  }
  const password = el("input", { type: "text", autocomplete: "off", autocapitalize: "none",
    spellcheck: "false" });
  const downloads = el("input", { type: "number", min: 1, max: 1000000, inputmode: "numeric" });
  const field = (label, input, hint) =>
    el("p", {}, el("label", {}, label, input), hint ? el("small", { text: hint }) : null);
  const answer = await ask(say("Share link"), [
    el("p", {}, named(item.name)),
    el("p", { class: "quiet", text: say("Whoever has the link may read this without an account.") }),
    field(say("Ends after"), lasting),
    field(say("Password"), password, say("Optional.")),
    field(say("Number of downloads"), downloads, say("Leave empty for no limit.")),
  ], [["", say("Cancel")], ["ok", say("Make the link"), "main"]]);
  if (!answer) return;
  try {
    const reply = await request("POST", `${page.mount}/.hythe/links`, { body: new URLSearchParams({
      href: item.href, expires: lasting.value, password: password.value,
      downloads: downloads.value || "0",
    }) });
    const link = await reply.json();
    await showLink(item, new URL(link.url, location.href).href);
  } catch (error) {
    complain(say("{} can't be shared.", item.name), error);
  }
}

async function showLink(item, link) {
  const field = el("input", { type: "text", readonly: true, "aria-label": say("Share link") });
  field.value = link;
  const copying = button(say("Copy"), () => copy(link, copying), { class: "main" });
  await ask(say("Share link"), [
    el("p", {}, named(item.name)), el("p", { class: "pair" }, field, copying),
    el("p", { class: "quiet" }, el("a", { href: `${page.mount}/.hythe/links`, text: say("All your links") })),
  ], [["", say("Close")]]);
}

/** What a menu offers for one file or folder. */
function actionsFor(item) {
  const actions = [];
  if (item.program) {
    actions.push([say("Open"), () => location.assign(item.href)]);
  } else if (!item.folder) {
    actions.push([say("Preview"), () => preview(item)]);
    actions.push([say("Download"), () => download(item)]);
  } else {
    actions.push([say("Open"), () => go(item.href)]);
    actions.push([say("Download zip"), () => location.assign(`${item.href}?zip`)]);
  }
  actions.push([say("Copy link"), () => copy(address(item))]);
  if ("account" in page && page.base === page.mount) actions.push([say("Share link…"), () => share(item)]);
  if (may("write")) {
    actions.push([say("Rename…"), () => rename(item)]);
    actions.push([say("Move…"), () => moveAll([item])]);
    actions.push([say("Delete…"), () => removeAll([item]), "danger"]);
  }
  return actions;
}

const download = (item) => el("a", { href: `${item.href}?download`, download: "" }).click();

/* --- The menu of a row ------------------------------------------------------ */

/** Opens the menu of a row below its button, or where it was asked for. */
function openMenu(opener, item, at) {
  document.querySelector(".menu")?.remove();
  const menu = el("div", { class: "menu", role: "menu", "aria-label": item.name });
  const close = (back) => {
    removeEventListener("pointerdown", outside, true);
    removeEventListener("scroll", gone, true);
    opener.setAttribute("aria-expanded", "false");
    menu.remove();
    if (back) opener.focus();
  };
  const gone = () => close(false);
  const outside = (event) => { if (!menu.contains(event.target)) close(false); };
  for (const [label, act, kind] of actionsFor(item)) {
    menu.append(button(label, () => { close(true); act(); },
      { role: "menuitem", class: kind, tabindex: -1 }));
  }
  menu.addEventListener("keydown", (event) => {
    const all = [...menu.children];
    const now = all.indexOf(document.activeElement);
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) all.at(to % all.length).focus();
    else if (event.key === "Escape" || event.key === "Tab") close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(menu);
  const box = opener.getBoundingClientRect();
  const [x, y] = at || [box.right - menu.offsetWidth, box.bottom];
  menu.style.left = `${Math.max(8, Math.min(x, innerWidth - menu.offsetWidth - 8))}px`;
  const below = y + menu.offsetHeight < innerHeight - 8;
  menu.style.top = `${below ? y : Math.max(8, (at ? y : box.top) - menu.offsetHeight)}px`;
  opener.setAttribute("aria-expanded", "true");
  menu.firstChild.focus();
  addEventListener("pointerdown", outside, true);
  // Not for what was scrolled before: that is told in the next frame.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    if (menu.isConnected) addEventListener("scroll", gone, true);
  }));
}

/** How many rows are dressed at once. A folder may have 100,000 of them: the others
 * are when they come near the screen, or a hand or the focus near them. */
const DRESSED = 1000;

/** Whether the browser tells when a row comes near the screen. */
const tellsNear = "ContentVisibilityAutoStateChangeEvent" in window;

/** Turns a row as the server made it into one with a menu, and the time of the
 * visitor's clock. */
function dressRow(row) {
  if ("dressed" in row.dataset) return;
  row.dataset.dressed = "";
  addMenu(row);
  if (tellsNear) showLocalTime(row);
}

function addMenu(row) {
  const item = itemOf(row);
  if (!item) return;
  row.append(el("td", {}, el("button", { type: "button", class: "more", text: "⋯",
    "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": say("More for {}", item.name) })));
}

/* --- What the script adds to a page ----------------------------------------- */

/** Whether the page shows what a search has found. */
const searching = () => new URLSearchParams(location.search).has("q");

/** Turns the page as the server made it into the one that has a script. */
function dress() {
  const search = document.querySelector(".search");
  const field = search.querySelector("input");
  document.querySelector("main").classList.add("live");
  if (!searching()) {
    field.placeholder = say("Filter; Enter searches below");
    field.setAttribute("aria-label", field.placeholder);
    search.querySelector("button").hidden = true;
    let wait;
    field.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(filterRows, 80);
    });
  }
  search.addEventListener("submit", (event) => {
    if (!uploadsUnfinished()) return;
    event.preventDefault();
    go(`${here()}?q=${encodeURIComponent(field.value)}`);
  });
  if (may("upload") && page.base === page.mount && !searching()) {
    document.querySelector(".send")?.remove();
    document.querySelector(".bar").prepend(el("div", { class: "tools" },
      button(say("Upload files"), () => pickFiles(false), { class: "main" }),
      button(say("Upload folder"), () => pickFiles(true)),
      button(say("New folder"), makeFolder)));
  }
  dressListing();
}

/** Shows when it was by the visitor's clock. */
function showLocalTime(row) {
  const time = row.querySelector("time");
  if (!time) return;
  const at = new Date(time.dateTime);
  const utc = `${time.textContent} UTC`;
  // Beyond the calendar of browsers.
  if (isNaN(at)) { time.textContent = utc; return; }
  const two = (number) => String(number).padStart(2, "0");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  time.title = utc;
  time.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The same for the listing alone, which is made anew when it has changed. */
function dressListing() {
  const listing = document.getElementById("listing");
  if (!searching()) {
    listing.querySelector("table").after(el("p", { class: "empty none-match", hidden: true,
      text: say("Nothing here has this in its name. Press Enter to search below, too.") }));
  }
  const heads = listing.querySelector("thead tr");
  if (listing.querySelector("tbody input")) {
    heads.firstElementChild.append(el("input", { type: "checkbox", "aria-label": say("Select all"),
      onchange: (event) => chooseAll(event.target.checked) }));
  }
  heads.append(el("td"));
  for (const cell of listing.querySelectorAll(".parent th")) cell.colSpan = 4;
  // Else some times would be in UTC for as long as nobody comes near them.
  if (tellsNear) heads.querySelector("th:nth-child(4) > *").textContent = say("Modified");
  rows().slice(0, DRESSED).forEach(dressRow);
  for (const approach of ["contentvisibilityautostatechange", "pointerover", "focusin"]) {
    listing.addEventListener(approach, (event) => {
      const row = event.target.closest("tbody:not(.parent) tr");
      if (row && !event.skipped) dressRow(row);
    });
  }

  const bar = listing.querySelector(".chosen");
  const one = (act) => () => act(chosen()[0]);
  bar.querySelector("button").textContent = say("Download");
  bar.prepend(el("output"));
  if (may("write") && page.base === page.mount) {
    bar.append(
      button(say("Rename…"), one(rename), { class: "single" }),
      button(say("Move…"), () => moveAll(chosen())),
      button(say("Delete…"), () => removeAll(chosen()), { class: "danger" }));
  }
  bar.append(button(say("Clear"), () => chooseAll(false), { class: "plain" }));
  showChosen();

  listing.addEventListener("click", (event) => {
    const row = event.target.closest("tbody:not(.parent) tr");
    if (event.target.matches?.("tbody input")) choose(event.target, event.shiftKey);
    else if (event.target.matches?.(".more")) openMenu(event.target, itemOf(row));
  });
  listing.addEventListener("contextmenu", (event) => {
    const row = event.target.closest("tbody:not(.parent) tr");
    // The browser's own menu is for links; ours for the rest of the row.
    if (!row || event.target.closest("a") || !row.querySelector(".more")) return;
    event.preventDefault();
    openMenu(row.querySelector(".more"), itemOf(row), [event.clientX, event.clientY]);
  });
}

/**
 * Links into the share: previews for files, and for folders uploads go on. Programs
 * have pages of their own.
 */
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const row = link.closest("#listing tbody:not(.parent) tr");
  if (row?.classList.contains("program")) return;
  if (row && !row.classList.contains("folder")) {
    event.preventDefault();
    preview(itemOf(row));
    return;
  }
  const target = new URL(link.href, location.href);
  const ours = target.origin === location.origin && target.pathname.endsWith("/")
    && !/^\?(zip|tar)/.test(target.search) && link.closest("main, .way");
  if (ours && uploadsUnfinished()) {
    event.preventDefault();
    go(target.href);
  }
});

/* --- Keys ------------------------------------------------------------------- */

const KEYS = [
  ["/", "Filter and search"],
  ["↑ ↓", "From name to name"],
  ["Space", "Select (on a box)"],
  ["U", "Upload files"],
  ["N", "New folder"],
  ["F2", "Rename"],
  ["Del", "Delete"],
  ["Esc", "Clear the selection, close"],
  ["← →", "Previous and next in previews"],
  ["?", "This help"],
];

function help() {
  const table = el("table", { class: "keys" });
  for (const [key, what] of KEYS) {
    table.append(el("tr", {}, el("th", { scope: "row" }, el("kbd", { text: key })),
      el("td", { text: say(what) })));
  }
  return ask(say("Keys"), [table], [["", say("Close")]]);
}

/** What keys act on: the selection, else the row with the focus. */
function meant() {
  const items = chosen();
  if (items.length) return items;
  const row = document.activeElement.closest?.("#listing tbody:not(.parent) tr");
  return row && itemOf(row) ? [itemOf(row)] : [];
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input:not([type=checkbox]), textarea, select");
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && event.target.matches?.(".search input")) {
    event.target.value = "";
    filterRows();
    return;
  }
  if (typing || !document.getElementById("listing")) return;
  const items = meant();
  const act = {
    "/": () => document.querySelector(".search input").focus(),
    "?": help,
    u: () => may("upload") && pickFiles(false),
    n: () => may("upload") && makeFolder(),
    F2: () => may("write") && items.length === 1 && rename(items[0]),
    Delete: () => may("write") && items.length && removeAll(items),
    Escape: () => chooseAll(false),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
  }[event.key];
  if (act && act() !== false) event.preventDefault();
});

/** Moves the focus from name to name; false leaves the key to the browser. */
function step(by) {
  const links = [...document.querySelectorAll("#listing tbody tr:not([hidden]) th a")];
  const now = links.indexOf(document.activeElement.closest?.("tr")?.querySelector("th a"));
  if (now < 0) return false;
  links[Math.max(0, Math.min(now + by, links.length - 1))].focus();
  return true;
}
