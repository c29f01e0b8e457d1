/* Previews: pictures, sound, films, PDF, text and Markdown, in a dialog. */

/** How much of a text is fetched to be shown. */
const TEXT_SHOWN = 256 * 1024;

const KINDS = [
  ["image", /\.(apng|avif|bmp|gif|ico|jfif|jpe?g|png|svg|webp)$/i],
  ["audio", /\.(aac|flac|m4a|mp3|oga|ogg|opus|wav|weba)$/i],
  ["video", /\.(m4v|mkv|mov|mp4|ogv|webm)$/i],
  ["pdf", /\.pdf$/i],
  ["markdown", /\.(md|markdown)$/i],
  ["text", /\.(asc|bash|bat|c|cc|cfg|conf|cpp|cs|css|csv|diff|env|go|h|hpp|html?|ini|java|js|json|jsonl|jsx|kt|lock|log|lua|m3u8?|mjs|nfo|patch|php|pl|ps1|py|r|rb|rs|rst|sh|sql|srt|swift|tex|toml|tsv|tsx?|txt|vtt|xml|ya?ml)$/i],
];

const kindByName = (name) => KINDS.find(([, names]) => names.test(name))?.[0];

/** By the name, and for names that tell nothing by what the server says. */
async function kindOf(item) {
  const kind = kindByName(item.name);
  if (kind || !item.size) return kind || "text";
  try {
    const reply = await request("HEAD", item.href);
    const type = reply.headers.get("Content-Type") || "";
    if (/^(image|audio|video)\//.test(type)) return type.split("/")[0];
    if (type.startsWith("application/pdf")) return "pdf";
    if (/^text\/|json|xml|javascript/.test(type)) return "text";
  } catch { /* The preview will say so. */ }
  return "other";
}

let viewer = null;

/** Shows a file, in a dialog of which there is one. */
function preview(item) {
  viewer ||= makeViewer();
  viewer.show(item);
}

function makeViewer() {
  let item = null;
  let turn = 0;
  const name = el("h2");
  const place = el("p", { class: "quiet" });
  const body = el("div", { class: "view", tabindex: -1 });
  const open = el("a", { class: "button", target: "_blank", rel: "noopener", text: say("Open") });
  const save = el("a", { class: "button main", download: "", text: say("Download") });
  const previous = button("‹", () => turnBy(-1), { "aria-label": say("Previous") });
  const following = button("›", () => turnBy(1), { "aria-label": say("Next") });
  const copying = button(say("Copy link"), () => copy(address(item), copying));
  const close = button("×", () => dialog.close(), { class: "plain", "aria-label": say("Close") });
  const dialog = el("dialog", { class: "viewer" },
    el("header", {}, el("div", {}, name, place),
      el("p", { class: "choices" }, previous, following, open, copying, save, close)), body);
  document.body.append(dialog);

  // What may be looked at, in the order of the list.
  const around = () => rows().filter((row) => !row.hidden).map(itemOf)
    .filter((other) => other && !other.folder && !other.program);
  const position = () => around().findIndex((other) => other.href === item.href);

  function turnBy(by) {
    const next = around()[position() + by];
    if (next) show(next);
  }

  async function show(other) {
    item = other;
    const mine = ++turn;
    name.replaceChildren(named(item.name));
    dialog.setAttribute("aria-label", item.name);
    const [at, count] = [position(), around().length];
    place.textContent = [bytes(item.size), count > 1 && at >= 0 ? say("{} of {}", at + 1, count) : ""]
      .filter(Boolean).join(" · ");
    previous.disabled = at <= 0;
    following.disabled = at < 0 || at >= count - 1;
    previous.hidden = following.hidden = count < 2;
    open.href = item.href;
    save.href = `${item.href}?download`;
    // Sound of the one before ends here.
    body.replaceChildren(el("p", { class: "quiet", text: say("Loading…") }));
    if (!dialog.open) dialog.showModal();
    body.focus();
    const kind = await kindOf(item);
    let content;
    try {
      content = await VIEWS[kind](item);
    } catch (error) {
      content = el("div", {}, el("p", { text: say("This can't be shown.") }), explanation(error));
    }
    if (mine !== turn || !dialog.open) return;
    body.dataset.kind = kind;
    body.replaceChildren(content);
  }

  dialog.addEventListener("close", () => {
    turn += 1;
    body.replaceChildren();
    // Where the visitor has got to, rather than where they began.
    const row = rows().find((other) => itemOf(other)?.href === item.href);
    row?.querySelector("th a").focus();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.matches("audio, video")) return;
    if (event.key === "ArrowLeft") turnBy(-1);
    else if (event.key === "ArrowRight") turnBy(1);
    else return;
    event.preventDefault();
  });
  // A click beside the picture closes, as people expect.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  let from = null;
  body.addEventListener("touchstart", (event) => {
    const one = event.touches.length === 1 && !(window.visualViewport?.scale > 1);
    from = one ? [event.touches[0].clientX, event.touches[0].clientY] : null;
  }, { passive: true });
  body.addEventListener("touchend", (event) => {
    if (!from || body.dataset.kind !== "image") return;
    const [x, y] = [event.changedTouches[0].clientX - from[0], event.changedTouches[0].clientY - from[1]];
    if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(y)) turnBy(x < 0 ? 1 : -1);
    from = null;
  });
  return { show };
}

/** An element that plays or shows a file by itself, and what if it can't. */
function media(name, item, properties) {
  const element = el(name, { src: item.href, ...properties });
  const holder = el("div", { class: "holder" }, element);
  element.addEventListener("error", () => {
    holder.replaceChildren(el("p", { text: say("The browser can't show this file. You can download it.") }));
  });
  return holder;
}

const VIEWS = {
  image: (item) => media("img", item, { alt: item.name }),
  audio: (item) => media("audio", item, { controls: true, autoplay: true }),
  video: (item) => media("video", item, { controls: true, autoplay: true, playsinline: true }),
  pdf: (item) => el("iframe", { src: item.href, title: item.name }),
  async text(item) {
    const { text, cut } = await readText(item);
    if (text === null) return VIEWS.other(item);
    return el("div", {}, el("pre", { text }), cut);
  },
  async markdown(item) {
    const { text, cut } = await readText(item);
    if (text === null) return VIEWS.other(item);
    return el("div", {}, markdown(text, item.href), cut);
  },
  other: () => el("p", { text: say("There is no preview for this kind of file. You can download it.") }),
};

/** The beginning of a file as text, in whatever character set it is. */
async function readText(item) {
  if (!item.size) return { text: "", cut: el("p", { class: "quiet", text: say("This file is empty.") }) };
  const reply = await request("GET", item.href,
    { headers: { Range: `bytes=0-${TEXT_SHOWN - 1}`, Accept: "*/*" } });
  const content = new Uint8Array(await reply.arrayBuffer()).subarray(0, TEXT_SHOWN);
  const cut = item.size > TEXT_SHOWN ? el("p", { class: "quiet",
    text: say("These are the first {} of {}.", bytes(TEXT_SHOWN), bytes(item.size)) }) : null;
  return { text: decode(content), cut };
}

/** Text by its byte order mark, as UTF-8, else as GB 18030 or Latin; null for
 * what is no text at all. */
function decode(content) {
  const mark = content[0] << 8 | content[1];
  if (mark === 0xfffe) return new TextDecoder("utf-16le").decode(content);
  if (mark === 0xfeff) return new TextDecoder("utf-16be").decode(content);
  if (content.subarray(0, 8192).includes(0)) return null;
  for (const charset of ["utf-8", "gb18030"]) {
    try {
      // As a stream, since the end may have been cut in a character.
      return new TextDecoder(charset, { fatal: true }).decode(content, { stream: true });
    } catch { /* The next one. */ }
  }
  return new TextDecoder("windows-1252").decode(content);
}

/* --- Markdown ---------------------------------------------------------------
   Enough of it to read a README with: headings, lists, quotes, code, tables,
   rules, emphasis, links and pictures. It is made of elements and texts, never
   of markup, so that nothing in a file can become more than text. */

function markdown(text, base) {
  const root = el("article", { class: "markdown" });
  blocks(text.replace(/\r\n?/g, "\n").split("\n"), root, new URL(base, location.href), 0);
  return root;
}

const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^\s{0,3}([-*_])(\s*\1){2,}\s*$/;
const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+#-]*)/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** Puts the blocks of these lines into a parent; deep nesting stays text. */
function blocks(lines, parent, base, depth) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    let match;
    if (!line.trim()) {
      at += 1;
    } else if ((match = line.match(FENCE))) {
      const code = [];
      for (at += 1; at < lines.length && !lines[at].trim().startsWith(match[1]); at += 1) code.push(lines[at]);
      at += 1;
      parent.append(el("pre", {}, el("code", { text: code.join("\n") })));
    } else if ((match = line.match(/^\s{0,3}(#{1,6})\s+(.*?)\s*#*$/))) {
      // The dialog has the first two levels of headings.
      const heading = el(`h${Math.min(match[1].length + 2, 6)}`, { class: `level${match[1].length}` });
      inline(match[2], heading, base);
      parent.append(heading);
      at += 1;
    } else if (RULE.test(line)) {
      parent.append(el("hr"));
      at += 1;
    } else if (/^\s{0,3}>/.test(line) && depth < 8) {
      const quoted = [];
      for (; at < lines.length && /^\s{0,3}>/.test(lines[at]); at += 1) quoted.push(lines[at].replace(/^\s{0,3}> ?/, ""));
      const quote = el("blockquote");
      blocks(quoted, quote, base, depth + 1);
      parent.append(quote);
    } else if (ITEM.test(line) && depth < 8) {
      at = list(lines, at, parent, base, depth);
    } else if (/^( {4}|\t)/.test(line)) {
      const code = [];
      for (; at < lines.length && /^( {4}|\t|\s*$)/.test(lines[at]); at += 1) code.push(lines[at].replace(/^( {4}|\t)/, ""));
      parent.append(el("pre", {}, el("code", { text: code.join("\n").trimEnd() })));
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] || "") && lines[at + 1].includes("-")) {
      at = table(lines, at, parent, base);
    } else {
      const words = [];
      for (; at < lines.length && lines[at].trim() && (!words.length || !beginsBlock(lines[at])); at += 1) words.push(lines[at]);
      if (/^\s*(=+|-+)\s*$/.test(words.at(-1)) && words.length > 1) words.pop();
      const paragraph = el("p");
      inline(words.join("\n"), paragraph, base);
      parent.append(paragraph);
    }
  }
}

const beginsBlock = (line) => FENCE.test(line) || ITEM.test(line) || RULE.test(line)
  || /^\s{0,3}(#{1,6}\s|>)/.test(line);

function list(lines, at, parent, base, depth) {
  const [, indent, marker] = lines[at].match(ITEM);
  const ordered = /\d/.test(marker);
  const element = el(ordered ? "ol" : "ul", { start: ordered ? parseInt(marker, 10) : null });
  const within = (line) => line.match(/^\s*/)[0].length > indent.length;
  while (at < lines.length) {
    const match = lines[at].match(ITEM);
    if (!match || match[1].length > indent.length + 1 || /\d/.test(match[2]) !== ordered) break;
    const content = [match[3]];
    for (at += 1; at < lines.length; at += 1) {
      const blank = !lines[at].trim();
      if (blank && !within(lines[at + 1] || "")) break;
      if (!blank && !within(lines[at]) && (beginsBlock(lines[at]) || !lines[at - 1].trim())) break;
      content.push(lines[at].slice(Math.min(indent.length + marker.length + 1, lines[at].match(/^\s*/)[0].length)));
    }
    const item = el("li");
    const task = content[0].match(/^\[([ xX])\]\s+/);
    if (task) {
      content[0] = content[0].slice(task[0].length);
      item.append(task[1] === " " ? "☐ " : "☑ ");
    }
    // A line alone needs no paragraph.
    if (content.length === 1) inline(content[0], item, base);
    else blocks(content, item, base, depth + 1);
    element.append(item);
    if (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] || "")) at += 1;
  }
  parent.append(element);
  return at;
}

function table(lines, at, parent, base) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replace(/\\\|/g, "|"));
  const row = (line, kind) => {
    const element = el("tr");
    for (const cell of cells(line)) {
      const field = el(kind);
      inline(cell, field, base);
      element.append(field);
    }
    return element;
  };
  const body = el("tbody");
  const element = el("table", {}, el("thead", {}, row(lines[at], "th")), body);
  for (at += 2; at < lines.length && lines[at].includes("|"); at += 1) body.append(row(lines[at], "td"));
  parent.append(el("div", { class: "wide" }, element));
  return at;
}

const INLINE = new RegExp([
  /\\([!-/:-@[-`{-~])/, // an escaped character
  /(`+)([^]*?[^`])\2(?!`)/, // code
  /(!?)\[((?:[^[\]]|\[[^\]]*\])*)\]\(\s*<?([^\s()<>]*(?:\([^\s()]*\)[^\s()]*)*)>?(?:\s+["'(][^]*?["')])?\s*\)/, // a link
  /<((?:https?:\/\/|mailto:)[^\s<>]+)>/, // an address
  /(\*\*|__)(?=\S)([^]*?\S)\8/, // strong
  /(\*|_)(?=\S)([^]*?\S)\10(?!\w)/, // emphasis
  /~~(?=\S)([^]*?\S)~~/, // struck out
  /(https?:\/\/[^\s<>()]*[^\s<>().,;:!?"'*_])/, // an address in the text
].map((each) => each.source).join("|"), "g");

/** Puts a text with its emphasis and links into a parent. */
function inline(text, parent, base, depth = 0) {
  let from = 0;
  for (const match of depth > 6 ? [] : text.matchAll(INLINE)) {
    const [whole, escaped, , code, bang, label, address, auto, , strong, , soft, struck, bare] = match;
    parent.append(text.slice(from, match.index));
    from = match.index + whole.length;
    if (escaped) parent.append(escaped);
    else if (code !== undefined) parent.append(el("code", { text: code.trim() }));
    else if (label !== undefined) parent.append(reference(bang, label, address, base, depth));
    else if (auto || bare) parent.append(reference("", auto || bare, auto || bare, base, 9));
    else {
      const element = el(strong ? "strong" : soft ? "em" : "s");
      inline(strong || soft || struck, element, base, depth + 1);
      parent.append(element);
    }
  }
  parent.append(text.slice(from));
}

/** A link or a picture: only to where no script can hide, pictures only from the
 * share itself. */
function reference(bang, label, address, base, depth) {
  let target = null;
  try {
    target = new URL(address, base);
  } catch { /* No address. */ }
  if (!target || !["http:", "https:", "mailto:"].includes(target.protocol)) {
    return el("span", { text: label });
  }
  if (bang && target.origin === location.origin) return el("img", { src: target.href, alt: label });
  const link = el("a", { href: target.href, target: "_blank", rel: "noopener noreferrer" });
  inline(label || address, link, base, depth + 1);
  return link;
}
