/* What the parts of the script stand on: words, elements, dialogs, requests.
   All parts share one function's scope; see mod.rs for their order. */

const page = document.body.dataset;
const chinese = document.documentElement.lang.startsWith("zh");

/** An English text in the page's language, with each {} replaced in turn. */
function say(english, ...values) {
  const text = (chinese && CHINESE[english]) || english;
  return text.replace(/\{\}/g, () => values.shift());
}

/** A number of files or folders in words; English needs to know if it is one. */
const files = (number) => number === 1 ? say("1 file") : say("{} files", number);
const things = (number) => number === 1 ? say("1 item") : say("{} items", number);

/** Whether the visitor's role is this or a higher one. */
function may(role) {
  const roles = ["none", "read", "upload", "write", "admin"];
  return roles.indexOf(page.access) >= roles.indexOf(role);
}

/**
 * An element. Properties that begin with "on" are listeners, `text` is its text
 * and never markup, all others attributes; what is null or false is left out.
 */
function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "text") element.textContent = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const button = (text, onclick, properties = {}) =>
  el("button", { type: "button", text, onclick, ...properties });

/** A name to be looked at: whatever it is, it can't disturb what is around it. */
const named = (name) => el("bdi", { text: name });

/** A number of bytes with three or four digits, as the server writes it. */
function bytes(number) {
  if (number < 1024) return `${Math.round(number)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = -1;
  while (number >= 1023.95 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${number.toFixed(1)} ${units[unit]}`;
}

/** A time span in seconds, in the one or two units that matter. */
function span(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return say("{} s", Math.max(1, Math.round(seconds)));
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return say("{} min", minutes);
  return say("{} h {} min", Math.floor(minutes / 60), minutes % 60);
}

/* --- Telling ---------------------------------------------------------------- */

const status = el("p", { class: "unseen", role: "status" });
const notices = el("ul", { class: "notices", role: "alert" });

let told = 0;
/** Says something to those who listen; what comes too fast is left out. */
function announce(text, urgent = true) {
  const now = Date.now();
  if (!urgent && now - told < 10_000) return;
  told = now;
  status.textContent = text;
}

/** Shows what went wrong until the reader has done with it. */
function complain(text, error) {
  const item = el("li", {}, el("p", { text }));
  if (error) item.append(explanation(error));
  item.append(button("×", () => item.remove(), { class: "plain", "aria-label": say("Dismiss") }));
  notices.append(item);
}

/** What an error means, and the way out where there is one. */
function explanation(error) {
  const paragraph = el("p", { text: error.message });
  if (error.status === 401) {
    const next = encodeURIComponent(location.pathname);
    // Beside uploads, which wait here to be tried again.
    const target = queue.length ? "_blank" : null;
    paragraph.append(" ", el("a", { href: `${page.mount}/.hythe/sign-in?next=${next}`, target, text: say("Sign in") }));
  }
  return paragraph;
}

/* --- Dialogs ---------------------------------------------------------------- */

/**
 * Asks something. The browser's own dialog keeps the focus inside, closes on
 * Escape and gives the focus back. Resolves to the value of the chosen button,
 * or null.
 */
function ask(title, content, choices) {
  return new Promise((resolve) => {
    const form = el("form", { method: "dialog" }, el("h2", { text: title }), ...content);
    const row = el("p", { class: "choices" });
    for (const [value, label, kind] of choices) {
      row.append(el("button", {
        value, text: label, class: kind,
        // Leaving must be possible whatever the fields say.
        formnovalidate: value === "",
        type: value === "" ? "button" : "submit",
        onclick: value === "" ? () => dialog.close("") : null,
      }));
    }
    form.append(row);
    const dialog = el("dialog", { "aria-label": title }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
    const first = dialog.querySelector("[autofocus], input");
    if (first) first.focus();
    if (first && first.type === "text") first.select();
  });
}

/** A list of names in a question: the first of them, and how many more. */
function nameList(names) {
  const shown = names.slice(0, 8).map((name) => el("li", {}, named(name)));
  const rest = names.length - shown.length;
  if (rest > 0) shown.push(el("li", { text: say("and {} more", rest) }));
  return el("ul", { class: "names" }, ...shown);
}

/**
 * Copies a text. Most shares are reached by plain HTTP, where browsers have no
 * clipboard for scripts other than what is selected.
 */
async function copy(text, label) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const field = el("textarea", { class: "unseen", readonly: true });
    field.value = text;
    // Inside a dialog only what is in it can be selected.
    (document.querySelector("dialog[open]") || document.body).append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
  }
  if (done) announce(say("Copied."));
  if (done && label) {
    const before = label.textContent;
    label.textContent = say("Copied.");
    setTimeout(() => { label.textContent = before; }, 2000);
  }
  if (!done) complain(say("The browser does not let this page copy. Here is the link: {}", text));
}

/* --- Requests --------------------------------------------------------------- */

/** A refusal of the server, or, with the status 0, none at all. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const unreachable = () => new Refusal(0, say("The server can't be reached."));

/** The server's own words, without the status before them. */
function reason(status, text, type) {
  let words = "";
  if (type.startsWith("application/json")) {
    try { words = JSON.parse(text).error || ""; } catch { /* Cut off: no words. */ }
  } else if (type.startsWith("text/plain")) {
    words = text.trim().replace(/^\d{3} [^:]*: /, "").slice(0, 500);
  }
  words = words.charAt(0).toUpperCase() + words.slice(1);
  const meaning = {
    401: say("You have to sign in for this."),
    403: say("You are not allowed to do this."),
    404: say("It is not there any more."),
    413: say("This is larger than the server takes."),
    507: say("There is no room left for this."),
  }[status];
  // The server's words say more, but not all of them in Chinese.
  if (chinese && meaning && !/[\u4e00-\u9fff]/.test(words)) {
    return words ? `${meaning} (${words})` : meaning;
  }
  // Other sentences follow.
  if (words && !/[.!?。！？]$/.test(words)) words += chinese ? "。" : ".";
  return words || meaning || say("The server answered with status {}.", status);
}

async function request(method, url, { headers, body } = {}) {
  let reply;
  const accept = { Accept: "application/json, text/plain;q=0.9" };
  try {
    reply = await fetch(url, { method, body, headers: { ...accept, ...headers } });
  } catch {
    throw unreachable();
  }
  if (reply.ok) return reply;
  const text = await reply.text().catch(() => "");
  const type = reply.headers.get("Content-Type") || "";
  throw new Refusal(reply.status, reason(reply.status, text, type));
}

/* --- Names and addresses ---------------------------------------------------- */

/** The last part of a path, still percent-encoded: names need not be UTF-8. */
const lastPart = (href) => href.replace(/\/$/, "").split("/").pop();
const parentOf = (href) => href.replace(/[^/]*\/?$/, "");

/** A name as part of a path. */
const part = (name) => encodeURIComponent(name);

/** The folder that is shown. */
const here = () => location.pathname;

/** What is wrong with a name for a file or folder; empty if nothing. */
function nameTrouble(name) {
  if (!name.trim()) return say("Type a name.");
  if (name === "." || name === ".." || name.includes("/")) {
    return say("A name can't be “.” or “..” or have a slash in it.");
  }
  return "";
}

/**
 * Asks for a name until there is nothing wrong with it, or the visitor would
 * rather not. `act` does something with the name, and resolves to what the visitor
 * can mend, else to nothing. Whatever stands before `ending` is what is most
 * likely typed over.
 */
async function askName(title, label, before, verb, act, ending = "") {
  let [typed, wrong] = [before, ""];
  do {
    const field = el("input", { type: "text", required: true, maxlength: 255, autofocus: true,
      autocapitalize: "none", autocomplete: "off", spellcheck: "false",
      "aria-invalid": wrong && "true" });
    field.value = typed;
    field.addEventListener("input", () => field.setCustomValidity(nameTrouble(field.value)));
    const content = [el("p", {}, el("label", {}, label, field))];
    if (wrong) content.push(el("p", { class: "wrong", role: "alert", text: wrong }));
    const answering = ask(title, content, [["", say("Cancel")], ["ok", verb, "main"]]);
    if (ending && typed.endsWith(ending)) field.setSelectionRange(0, typed.length - ending.length);
    if (!await answering) return;
    typed = field.value;
    wrong = await act(typed);
  } while (wrong);
}
